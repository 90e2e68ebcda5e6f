/**
 * Pending deltas: what is visible in the source's snapshot and not covered by a relation's mark. Always read as two
 * index ranges (ids beyond the mark, and the few that were running at it), so the cost is that of the new deltas alone.
 */
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { covers, type Snapshot, type Txid } from '../postgres/snapshot.ts';

export interface DeltaRange {
  readonly deltaName: string;
  readonly mark: Snapshot;
  /** The last transaction that takes part; undefined for all that are visible. */
  readonly cut: Txid | undefined;
  /** Of a transaction that is delivered in parts: the condition on its deltas. Mark and cut play no part then. */
  readonly part?: string | undefined;
}

/** `from`-item (without alias) of the pending deltas of one relation, every column of the delta table. */
export function pendingDeltas({ deltaName, mark, cut, part }: DeltaRange): string {
  const table = `bucardo.${quoteIdentifier(deltaName)}`;
  if (part !== undefined) return `(select * from ${table} where ${part})`;
  const upTo = cut === undefined ? '' : ` and txid <= ${cut}`;
  const beyond = `select * from ${table} where txid >= ${mark.xmax}${upTo}`;
  if (mark.running.length === 0) return `(${beyond})`;
  return `(${beyond} union all select * from ${table} where txid in (${mark.running.join(', ')})${upTo})`;
}

type Range = Omit<DeltaRange, 'cut' | 'part'>;

export interface PendingCounts {
  /** Deltas up to the cut, per range and in the order of the ranges. */
  readonly deltas: readonly number[];
  /** The last transaction that fits into the bound for all ranges together; undefined if everything fits. */
  readonly cut: Txid | undefined;
  /** The first transaction alone has more deltas than the bound. */
  readonly oversized: boolean;
}

/** Looking for so many deltas first costs nothing, and is all that most batches need. */
const FEW_DELTAS = 1_000;

/** From so many relations on, planning to count them all takes longer than asking first which ones have something. */
const MANY_RELATIONS = 20;

/**
 * Counts what is pending in all ranges together, in the order of transactions, up to `bound` deltas, in the caller's snapshot. A
 * transaction is never split: if it does not fit it is left to the next batch, unless it is the first one. Reads
 * one index entry per delta within the bound and one per range, however much is pending. Takes no locks beyond those of reading.
 *
 * @param source in a transaction
 * @param ranges those that have the lane's mark have that very object
 */
export async function countPending(
  source: Connection,
  ranges: readonly Range[],
  { bound, laneMark }: { readonly bound: number; readonly laneMark: Snapshot },
): Promise<PendingCounts> {
  const waiting = ranges.length < MANY_RELATIONS ? ranges : await findWaiting(source, ranges, laneMark);
  const first = await countTogether(source, waiting, bound);
  // So far only some of its deltas were counted, and perhaps not in all tables.
  const counts =
    first.oversized && first.cut !== undefined
      ? { ...first, deltas: await countTransaction(source, waiting, first.cut) }
      : first;
  const found = new Map(waiting.map((range, position) => [range, counts.deltas[position] ?? 0]));
  return { ...counts, deltas: ranges.map((range) => found.get(range) ?? 0) };
}

async function countTogether(
  source: Connection,
  ranges: readonly Range[],
  bound: number,
): Promise<PendingCounts> {
  if (ranges.length === 0) return { deltas: [], cut: undefined, oversized: false };
  const few = Math.min(bound, FEW_DELTAS);
  const first = await readFirst(source, ranges, few);
  if (few === bound || first.cut === undefined) return first;
  // Without statistics the planner would sort all that is pending. It is told to merge the indexes.
  await source.script(`savepoint counting; ${IN_INDEX_ORDER}`);
  const counts = await readFirst(source, ranges, bound);
  await source.script('rollback to savepoint counting; release savepoint counting');
  return counts;
}

/** Measured: 20 tables with 150,000 deltas each, the first 100,000: 50 to 75 ms; 50 such tables with a sort: 1.8 to 2.5 s. */
const IN_INDEX_ORDER = `
  set local jit = off;
  set local enable_sort = off;
  set local enable_seqscan = off;
  set local enable_bitmapscan = off;
  set local max_parallel_workers_per_gather = 0`;

interface CountRow {
  readonly position: number;
  readonly deltas: number;
  readonly kept: number;
  readonly cut: string | null;
  readonly oversized: boolean | null;
}

/**
 * One row per range that has some of the first deltas. With more than `bound` of them the last one read is beyond the bound: its
 * transaction is left out, unless it is also the first. Each branch has an order of its own, for only then are the branches
 * merged instead of sorted.
 */
async function readFirst(
  source: Connection,
  ranges: readonly Range[],
  bound: number,
): Promise<PendingCounts> {
  const branches = ranges.map((range, position) => inOrder(range, position, bound + 1));
  const rows = await source.rows<CountRow>(
    `with first_deltas as materialized (
       select position, txid from (${branches.join(' union all ')}) p order by txid limit ${bound + 1}
     ),
     beyond as (
       select max(txid) as txid, max(txid) = min(txid) as oversized from first_deltas having count(*) > ${bound}
     ),
     cut as (
       select oversized, case when oversized then txid else (
         select max(f.txid) from first_deltas f where f.txid < beyond.txid
       ) end as txid
       from beyond
     )
     select position, count(*)::int as deltas, count(*) filter (where txid <= (select txid from cut))::int as kept,
       (select txid from cut)::text as cut, (select oversized from cut) as oversized
     from first_deltas group by position`,
  );
  const cut = rows[0]?.cut ?? undefined;
  const counts = new Map(
    rows.map(({ position, deltas, kept }) => [position, cut === undefined ? deltas : kept]),
  );
  return {
    deltas: ranges.map((_, position) => counts.get(position) ?? 0),
    cut: cut === undefined ? undefined : BigInt(cut),
    oversized: rows[0]?.oversized === true,
  };
}

function inOrder({ deltaName, mark }: Range, position: number, limit: number): string {
  const entries = (condition: string): string =>
    `(select ${position} as position, txid from bucardo.${quoteIdentifier(deltaName)} where ${condition} order by txid limit ${limit})`;
  const beyond = entries(`txid >= ${mark.xmax}`);
  if (mark.running.length === 0) return beyond;
  return `${beyond} union all ${entries(`txid in (${mark.running.join(', ')})`)}`;
}

/** Deltas of one transaction in each of the ranges that do not cover it. */
async function countTransaction(
  source: Connection,
  ranges: readonly Range[],
  txid: Txid,
): Promise<readonly number[]> {
  const counts = ranges.map(({ deltaName, mark }, position) =>
    covers(mark, txid)
      ? `select ${position} as position, 0 as deltas`
      : `select ${position}, (select count(*) from bucardo.${quoteIdentifier(deltaName)} where txid = ${txid})::int`,
  );
  const rows = await source.rows<{ deltas: number }>(
    `select deltas from (${counts.join(' union all ')}) counts (position, deltas) order by position`,
  );
  return rows.map(({ deltas }) => deltas);
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
  // Otherwise the server may find a plan for these very values cheaper, and make one each time.
  await source.script('savepoint looking; set local plan_cache_mode = force_generic_plan');
  const rows = await source.rowsPrepared<{ position: number }>(looks.join(' union all '), [
    String(mark.xmax),
    mark.running.map(String),
  ]);
  await source.script('rollback to savepoint looking; release savepoint looking');
  const waiting = new Set(rows.map(({ position }) => sameMark[position]));
  return ranges.filter((range) => range.mark !== mark || waiting.has(range));
}
