/** Tables of a target that have rows and whose first copy, `if-empty`, is still to come: they will be left as they are. */
import type { Lane, Sync } from '../config/types.ts';
import { asBucardoError } from '../errors/bucardo-error.ts';
import { ownRows, type Table } from '../postgres/catalog.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import type { SourceFacts } from './read-source.ts';

/** Those of `tables` that the lane will copy if the target has no rows. Pure. */
export function awaitedCopies<Name extends RelationName>(
  { destination }: Pick<Lane, 'destination'>,
  sync: Sync,
  source: SourceFacts,
  tables: readonly Name[],
): readonly Name[] {
  const installed = source.capture?.installed;
  if (sync.copy !== 'if-empty' || installed === undefined) return [];
  const isOurs = (lane: { readonly sync: string; readonly destination: string }): boolean =>
    lane.sync === sync.name && lane.destination === destination;
  if (!installed.lanes.some(isOurs)) return tables;
  const known = new Set(
    installed.syncRelations.filter((pair) => pair.sync === sync.name).map(displayRelation),
  );
  const wanted = new Set(
    source.lanes
      .filter(isOurs)
      .flatMap(({ copies }) => copies)
      .filter(({ state, policy }) => state === 'wanted' && policy === 'if-empty')
      .map(({ relation }) => relation),
  );
  return tables.filter((table) => {
    const name = displayRelation(table);
    return wanted.has(name) || !known.has(name);
  });
}

/** Display names of the tables that have a row. Reads one row of each; a table that cannot be read is told by other findings. */
export async function readFilled(db: Connection, tables: readonly Table[]): Promise<ReadonlySet<string>> {
  const filled = new Set<string>();
  for (const table of tables) {
    try {
      const { has } = await db.row<{ has: boolean }>(`select exists (select from ${ownRows(table)}) as has`);
      if (has) filled.add(displayRelation(table));
    } catch (error) {
      if (asBucardoError(error).code === 'BUC-DB-UNREACHABLE') throw error;
    }
  }
  return filled;
}
