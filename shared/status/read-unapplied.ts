/** Tables that the configuration wants replicated and that the source's registry does not have: nothing of them is captured. */
import { selectRelations } from '../capture/wanted.ts';
import type { Sync } from '../config/types.ts';
import { listTables } from '../postgres/catalog.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation } from '../postgres/identifiers.ts';

/** Display names by sync. Takes no locks beyond those of reading. @param syncs of the source */
export async function readUnapplied(
  source: Connection,
  syncs: readonly Sync[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  // One row per table of a sync.
  const registered = await source.rows<{ sync: string; schema: string; table: string }>(
    `select sync, schema_name as schema, table_name as table from bucardo.sync_relation where sync = any($1)`,
    [syncs.map(({ name }) => name)],
  );
  const known = new Set(registered.map(({ sync, ...name }) => `${sync} ${displayRelation(name)}`));
  const wanted = selectRelations(syncs, await listTables(source));
  return new Map(
    syncs.map(({ name }) => [
      name,
      wanted
        .filter((relation) => relation.syncs.includes(name))
        .map(displayRelation)
        .filter((relation) => !known.has(`${name} ${relation}`)),
    ]),
  );
}
