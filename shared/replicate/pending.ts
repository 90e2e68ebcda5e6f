/**
 * Pending deltas: what is visible in the source's snapshot and not covered by a relation's mark. Always read as two
 * index ranges (ids beyond the mark, and the few that were running at it), so the cost is that of the new deltas alone.
 */
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import type { Snapshot, Txid } from '../postgres/snapshot.ts';

export interface DeltaRange {
  readonly deltaName: string;
  readonly mark: Snapshot;
  /** The last transaction that takes part; undefined for all that are visible. */
  readonly cut: Txid | undefined;
}

/** `from`-item (without alias) of the pending deltas of one relation, every column of the delta table. */
export function pendingDeltas({ deltaName, mark, cut }: DeltaRange): string {
  const table = `bucardo.${quoteIdentifier(deltaName)}`;
  const upTo = cut === undefined ? '' : ` and txid <= ${cut}`;
  const beyond = `select * from ${table} where txid >= ${mark.xmax}${upTo}`;
  if (mark.running.length === 0) return `(${beyond})`;
  return `(${beyond} union all select * from ${table} where txid in (${mark.running.join(', ')})${upTo})`;
}

type Range = Omit<DeltaRange, 'cut'>;

export interface PendingCount {
  /** Deltas pending, counted up to one more than the bound. */
  readonly deltas: number;
  /** The transaction of the last delta that was counted within the bound; undefined if all were. */
  readonly cut: Txid | undefined;
}

const NONE_PENDING: PendingCount = { deltas: 0, cut: undefined };

/** From so many relations on, planning to count them all takes longer than asking first which ones have something. */
const MANY_RELATIONS = 20;

/**
 * Counts pending deltas per relation, each up to `bound`, in the caller's snapshot. Takes no locks. Ties are kept whole:
 * a transaction's deltas are never split, so the batch may exceed the bound by one transaction.
 *
 * @param ranges those that have the lane's mark have that very object
 */
export async function countPending(
  source: Connection,
  ranges: readonly Range[],
  { bound, laneMark }: { readonly bound: number; readonly laneMark: Snapshot },
): Promise<readonly PendingCount[]> {
  if (ranges.length < MANY_RELATIONS) return await countEach(source, ranges, bound);
  const waiting = await findWaiting(source, ranges, laneMark);
  const counts = await countEach(source, waiting, bound);
  const found = new Map(waiting.map((range, position) => [range, counts[position]]));
  return ranges.map((range) => found.get(range) ?? NONE_PENDING);
}

/**
 * The ranges with a pending delta beyond the lane's mark, and all that have another one. The statement is the same as
 * long as the relations are, so a session plans it a few times only: for a thousand of them that takes 170 ms.
 */
async function findWaiting(
  source: Connection,
  ranges: readonly Range[],
  mark: Snapshot,
): Promise<readonly Range[]> {
  const sameMark = ranges.filter((range) => range.mark === mark);
  if (sameMark.length === 0) return ranges;
  const looks = sameMark.map(({ deltaName }, position) => {
    const first = (condition: string): string =>
      `(select txid from bucardo.${quoteIdentifier(deltaName)} where ${condition} order by txid limit 1)`;
    return `select ${position} as position
      where ${first('txid >= $1')} is not null or ${first('txid = any($2)')} is not null`;
  });
  const rows = await source.rowsPrepared<{ position: number }>(looks.join(' union all '), [
    String(mark.xmax),
    mark.running.map(String),
  ]);
  const waiting = new Set(rows.map(({ position }) => sameMark[position]));
  return ranges.filter((range) => range.mark !== mark || waiting.has(range));
}

async function countEach(
  source: Connection,
  ranges: readonly Range[],
  bound: number,
): Promise<readonly PendingCount[]> {
  if (ranges.length === 0) return [];
  const counts = ranges.map(
    (range, position) => `
      select ${position} as position, count(*)::int as deltas,
        (array_agg(txid order by txid))[${bound}]::text as bound_txid
      from (select txid from ${pendingInOrder(range, bound + 1)} p order by txid limit ${bound + 1}) p`,
  );
  const rows = await source.rows<{ deltas: number; bound_txid: string | null }>(
    `select deltas, bound_txid from (${counts.join(' union all ')}) counts order by position`,
  );
  return rows.map(({ deltas, bound_txid }) => ({
    deltas,
    cut: deltas > bound && bound_txid !== null ? BigInt(bound_txid) : undefined,
  }));
}

/** As `pendingDeltas`, txid only, each range cut off early in index order. */
function pendingInOrder({ deltaName, mark }: Range, limit: number): string {
  const table = `bucardo.${quoteIdentifier(deltaName)}`;
  const beyond = `(select txid from ${table} where txid >= ${mark.xmax} order by txid limit ${limit})`;
  if (mark.running.length === 0) return beyond;
  return `(${beyond} union all select txid from ${table} where txid in (${mark.running.join(', ')}))`;
}

/** The earliest cut of several relations: one batch ends at one transaction for all of them. */
export function earliestCut(counts: readonly PendingCount[]): Txid | undefined {
  return counts
    .map(({ cut }) => cut)
    .reduce(
      (least, cut) => (cut === undefined || (least !== undefined && least <= cut) ? least : cut),
      undefined,
    );
}
