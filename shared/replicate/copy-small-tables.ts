/**
 * Copies many small tables in one step: one snapshot of the source, one transaction of the target, and their records
 * in one statement each. A step of its own costs a look at everything that the lane has, whatever the table's size.
 *
 * Each table is one chunk that goes to its end, opened and closed as any other. If the target refuses anything, the chunks stay
 * open, and each table is then brought by itself.
 */
import type { Lane } from '../config/types.ts';
import { displayRelation } from '../postgres/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import type { Destination } from '../targets/target.ts';
import { closeCopies, openWhole, type VersionedCopy } from './copy-records.ts';
import type { CopyState } from './lane-state.ts';
import { areAsPlanned, SHORT_LOCK_WAIT } from './lock-tables.ts';
import type { RelationPlan } from './relation-plan.ts';
import { readRange } from './source-reader.ts';

/** Tables in one step. Locks in one transaction of the target: with their indexes far below the 6,400 of a default server. */
export const TABLES_PER_STEP = 200;

/** So that a step is no more than a chunk of one large table. */
const SMALL_BYTES = 256 * 1024;

interface SmallTable {
  readonly copy: CopyState;
  readonly plan: RelationPlan;
}

/** Not begun yet, and small enough to go with others. */
export function isSmall({ copy, plan }: SmallTable): boolean {
  return copy.open === undefined && copy.doneTo === undefined && plan.source.sizeBytes <= SMALL_BYTES;
}

/**
 * Returns the rows that were copied; undefined if the records or the tables were not as they had been read.
 * @throws what the destination refused; the source is then in the middle of a stream
 */
export async function copySmallTables(
  source: Connection,
  { lane, destination }: { readonly lane: Lane; readonly destination: Destination },
  tables: readonly SmallTable[],
): Promise<number | undefined> {
  const versions = await openWhole(source, lane, tables.map(versionOf));
  const opened = tables.filter(({ plan }) => versions.has(displayRelation(plan)));
  if (opened.length === 0) return undefined;
  await source.script(`begin isolation level repeatable read read only; ${SHORT_LOCK_WAIT}`);
  const sources = opened.map(({ plan }) => plan.source);
  if (!(await areAsPlanned(source, sources))) {
    await source.script('rollback');
    return undefined;
  }
  const rows = await destination.fillRanges(
    opened.map(({ plan }) => {
      const { estimatedRows } = plan.source;
      return readRange(source, plan, { after: undefined, upTo: undefined, estimatedRows });
    }),
  );
  await source.script('commit');
  await closeCopies(
    source,
    lane,
    opened.map(({ plan }) => ({ ...plan, version: versions.get(displayRelation(plan)) ?? '' })),
    destination.written,
  );
  return rows;
}

function versionOf({ plan: { schema, table }, copy: { version } }: SmallTable): VersionedCopy {
  return { schema, table, version };
}
