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

export interface PendingCount {
  /** Deltas pending, counted up to one more than the bound. */
  readonly deltas: number;
  /** The transaction of the last delta that was counted within the bound; undefined if all were. */
  readonly cut: Txid | undefined;
}

/**
 * Counts pending deltas per relation, each up to `bound`, in one statement and one snapshot. Takes no locks. Ties are kept whole:
 * a transaction's deltas are never split, so the batch may exceed the bound by one transaction.
 */
export async function countPending(
  source: Connection,
  ranges: readonly Omit<DeltaRange, 'cut'>[],
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
function pendingInOrder({ deltaName, mark }: Omit<DeltaRange, 'cut'>, limit: number): string {
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
