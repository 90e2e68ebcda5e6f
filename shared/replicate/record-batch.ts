/**
 * Records on the source what a batch achieved, after the destination committed. The mark is advanced by compare-and-set: if
 * another run was faster nothing is recorded, and leaving the mark behind is always safe.
 */
import type { Lane } from '../config/types.ts';
import type { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { formatSnapshot, notCovered, type Snapshot, type Txid } from '../postgres/snapshot.ts';
import type { RefusedRow } from '../targets/target.ts';
import type { RelationState } from './lane-state.ts';
import { endLarge, recordPlace } from './large-record.ts';
import type { LargeTransaction, Part } from './large-transaction.ts';
import { removeNote } from './pace.ts';
import { holdSeconds } from './retry-delay.ts';
import { keyAsText, park } from './park.ts';
import { BECAUSE_OF_OTHER_ROWS, pendParked } from './pend-parked.ts';
import { type DeltaRange, pendingDeltas } from './pending.ts';

/** How a relation came out of a batch. */
export type RelationOutcome =
  | {
      readonly kind: 'applied';
      readonly relation: RelationState;
      readonly from: Snapshot;
      /** If only some deltas were applied: the condition on them. */
      readonly part?: string | undefined;
    }
  /** Stays behind at `mark`; the others go on. */
  | {
      readonly kind: 'held';
      readonly relation: RelationName;
      readonly mark: Snapshot;
      readonly attempts: number;
      readonly error: BucardoError;
    }
  /** Was held before and has made way, but is not level with the others yet. */
  | { readonly kind: 'behind'; readonly relation: RelationName; readonly mark: Snapshot }
  /** Was held before and is level now. */
  | { readonly kind: 'level'; readonly relation: RelationName };

export interface BatchRecord {
  /** @see LaneState.lookedAt */
  readonly lookedAt: string;
  /** The run's number. */
  readonly run: bigint;
  /** What the destination has counted; undefined if it keeps no count. */
  readonly writes: bigint | undefined;
  readonly storedMark: string | null;
  readonly mark: Snapshot;
  /** Where the lane stood before the batch. */
  readonly from: Snapshot;
  readonly cut: Txid | undefined;
  readonly outcomes: readonly RelationOutcome[];
  readonly refused: readonly RefusedRow[];
  /** The batch was a part of a transaction: the mark stays. */
  readonly part?: { readonly large: LargeTransaction; readonly part: Part } | undefined;
  /** The batch ends the delivery of a transaction in parts. */
  readonly endsLarge: boolean;
  /** A note says that the batch was begun. */
  readonly noted: boolean;
}

/** Returns whether it was recorded: false if the mark was not what the batch began with, or another run has begun. */
export async function recordBatch(source: Connection, lane: Lane, record: BatchRecord): Promise<boolean> {
  const { sync, destination } = lane;
  return await source.transaction('read committed', async () => {
    if (!(await advanceMark(source, lane, record))) return false;
    if (record.noted) await removeNote(source, lane);
    if (record.endsLarge) await endLarge(source, lane);
    let wayIsFree = false;
    for (const outcome of record.outcomes) {
      if (await recordOutcome(source, lane, outcome, record)) wayIsFree = true;
    }
    // Before new rows are parked: those have just been tried.
    if (wayIsFree) await pendParked(source, { sync, destination, sqlstates: BECAUSE_OF_OTHER_ROWS });
    await park(source, record.refused, {
      lane,
      deltasOf: (relation) => rangeOf(record, relation),
      mayPass: record.cut !== undefined,
    });
    if (record.part === undefined) await source.run(needCopy(record), [sync, destination]);
    return true;
  });
}

async function advanceMark(
  source: Connection,
  lane: Lane,
  { storedMark, mark, part, run, writes }: BatchRecord,
): Promise<boolean> {
  // The mark stays as it is stored during a delivery in parts.
  const next = part === undefined ? formatSnapshot(mark) : storedMark;
  const values = [lane.sync, lane.destination, storedMark, next, String(run), textOf(writes)];
  const advanced = await source.run(ADVANCE, values);
  if (advanced === 0 || part === undefined) return advanced > 0;
  return await recordPlace(source, lane, part.large, part.part);
}

/** Where the batch of a relation lay. */
function rangeOf({ outcomes, from, cut }: BatchRecord, relation: string): Omit<DeltaRange, 'deltaName'> {
  const own = outcomes.find((one) => one.kind === 'applied' && displayRelation(one.relation) === relation);
  return own?.kind === 'applied' ? { mark: own.from, cut, part: own.part } : { mark: from, cut };
}

/**
 * $1 sync, $2 destination, $3 the mark as it was read, $4 the new one, $5 run, $6 the destination's count. Locks the lane's
 * row until commit. A mark that was put back meanwhile may be equal to $3: hence the run.
 */
const ADVANCE = `
  update bucardo.progress set mark = $4::txid_snapshot, writes = greatest(writes, $6::bigint), updated_at = clock_timestamp()
  where sync = $1 and destination = $2 and mark::text is not distinct from $3 and run = $5::bigint`;

/** What the destination has counted and no other record says. A count that is recorded already stays. */
export async function recordWrites(
  source: Connection,
  lane: Lane,
  writes: bigint | undefined,
): Promise<void> {
  if (writes === undefined) return;
  await source.run(
    `update bucardo.progress set writes = $3::bigint where (sync, destination) = ($1, $2) and writes < $3::bigint`,
    [lane.sync, lane.destination, textOf(writes)],
  );
}

function textOf(writes: bigint | undefined): string | null {
  return writes === undefined ? null : String(writes);
}

const HOLD = `
  insert into bucardo.held_relation
    (sync, destination, schema_name, table_name, mark, error_code, error_detail, attempts, retry_at, tried_at)
  values ($1, $2, $3, $4, $5::txid_snapshot, $6, $7, $8, clock_timestamp() + $9 * interval '1 second', $10)
  on conflict (sync, destination, schema_name, table_name) do update set
    mark = excluded.mark, error_code = excluded.error_code, error_detail = excluded.error_detail,
    attempts = excluded.attempts, retry_at = excluded.retry_at, tried_at = excluded.tried_at`;

const MOVE_HOLD = `
  update bucardo.held_relation set mark = $5::txid_snapshot
  where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4)`;

const RELEASE = `
  delete from bucardo.held_relation where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4)`;

/** Returns whether rows got in that parked ones may have waited for: a held relation's, or one that was parked itself. */
async function recordOutcome(
  source: Connection,
  lane: Lane,
  outcome: RelationOutcome,
  record: BatchRecord,
): Promise<boolean> {
  const { schema, table } = outcome.relation;
  const relation = [lane.sync, lane.destination, schema, table];
  switch (outcome.kind) {
    case 'applied': {
      if (!outcome.relation.hasRejected) return false;
      const again = record.refused.filter(({ plan }) => plan.schema === schema && plan.table === table);
      const unparked = await source.run(unpark(outcome, record.cut), [
        ...relation,
        JSON.stringify(again.map(({ key }) => key)),
      ]);
      return unparked > 0;
    }
    case 'held': {
      const { mark, error, attempts } = outcome;
      const delay = holdSeconds(error.code, attempts);
      const told = [error.code, error.message, attempts, delay, record.lookedAt];
      await source.run(HOLD, [...relation, formatSnapshot(mark), ...told]);
      return false;
    }
    case 'behind':
      await source.run(MOVE_HOLD, [...relation, formatSnapshot(outcome.mark)]);
      return false;
    case 'level':
      await source.run(RELEASE, relation);
  }
  return true;
}

/** Parked keys that the batch applied are parked no longer. $1 to $4 the relation, $5 keys that it refused again. */
function unpark(
  { relation, from, part }: Extract<RelationOutcome, { kind: 'applied' }>,
  cut: Txid | undefined,
): string {
  const { deltaName, keyColumns } = relation;
  return `
    delete from bucardo.rejected_row r
    using ${pendingDeltas({ deltaName, mark: from, cut, part })} d
    where (r.sync, r.destination, r.schema_name, r.table_name) = ($1, $2, $3, $4) and r.key = ${keyAsText('d', keyColumns)}
      and not exists (
        select from json_array_elements($5::json) again
        where r.key = array(select json_array_elements_text(again))
      )`;
}

/** A TRUNCATE in the batch cannot be replayed from keys, nor what was not captured: the table then needs a copy. $1 sync, $2 destination. */
function needCopy({ from, cut }: BatchRecord): string {
  const upTo = cut === undefined ? '' : `and t.txid <= ${cut}`;
  return `
    insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
    select distinct $1, $2, t.schema_name, t.table_name, t.reason
    from bucardo.truncation t
    join bucardo.sync_relation s on s.sync = $1 and (s.schema_name, s.table_name) = (t.schema_name, t.table_name)
    where ${notCovered('t.txid', from)} ${upTo}
    on conflict do nothing`;
}
