/**
 * Where a lane stands, as its source has it: marks, held relations, copies, truncations. Read in the batch's own snapshot, so
 * that it fits the deltas which that snapshot shows.
 */
import { asNotApplied } from '../capture/not-applied.ts';
import { markIsFromHere } from '../capture/source-identity.ts';
import { type TableProblem, tableProblemError, tableProblems } from '../capture/table-identity.ts';
import type { Lane } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { NOTHING, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import type { CopyVersion } from './copy-record.ts';
import type { BatchHistory } from './batch-size.ts';
import type { Boundary } from './key-range.ts';
import { type LargeRow, parseLarge, READ_LARGE } from './large-record.ts';
import type { LargeTransaction } from './large-transaction.ts';
import type { CapturedRelation } from './relation-plan.ts';

/** A first copy that is not finished. */
export interface CopyState {
  readonly version: CopyVersion;
  readonly policy: 'if-empty' | 'always';
  readonly state: 'wanted' | 'copying';
  /** Up to here the target has everything; undefined at the beginning. */
  readonly doneTo: Boundary | undefined;
  /** The chunk that was begun but is not known to have arrived. */
  readonly open: OpenChunk | undefined;
  readonly rowsCopied: number;
}

export interface OpenChunk {
  /** Undefined if the chunk goes to the table's end. */
  readonly upTo: Boundary | undefined;
}

/** A relation that waits for a person, and keeps its own place meanwhile. */
export interface Hold {
  readonly mark: Snapshot;
  readonly due: boolean;
  readonly attempts: number;
}

export interface RelationState extends CapturedRelation {
  readonly hold: Hold | undefined;
  readonly copy: CopyState | undefined;
  /** Keys that the destination refused are parked, so an applied key must be looked up among them. */
  readonly hasRejected: boolean;
  /** The captured table is not under the relation's name: it cannot be read. */
  readonly problem: BucardoError | undefined;
}

export interface LaneState {
  /** The transaction's snapshot: the run's end mark. */
  readonly end: Snapshot;
  /** By the source's clock, a moment before that snapshot: what had been committed by then is in it. */
  readonly lookedAt: string;
  readonly mark: Snapshot;
  /** The mark's text as stored, for compare-and-set; null when everything is pending. */
  readonly storedMark: string | null;
  /** The number of the latest run that the source has recorded. */
  readonly run: bigint;
  /** The last of the destination's transactions that is recorded; undefined if the destination keeps no count. */
  readonly writes: bigint | undefined;
  /** The source was restored into another database or cluster since the mark was made. */
  readonly otherPlace: boolean;
  /** Somebody wants the lane to wait. */
  readonly paused: boolean;
  /** What is known of the lane's batches so far. */
  readonly history: BatchHistory;
  /** A transaction that is being delivered in parts. */
  readonly large: LargeTransaction | undefined;
  readonly relations: readonly RelationState[];
  /** Tables that are not what is captured. */
  readonly problems: readonly TableProblem[];
}

interface StateRow {
  readonly end_mark: string;
  readonly looked_at: string;
  readonly mark: string | null;
  readonly run: string;
  readonly writes: string | null;
  readonly registered: boolean;
  readonly other_place: boolean;
  readonly paused: boolean;
  readonly rate: number | null;
  /** int8 as text. */
  readonly unfinished: string | null;
  readonly large: LargeRow | null;
  readonly relations: readonly RelationRow[];
  readonly problems: readonly TableProblem[];
}

interface RelationRow extends RelationName {
  readonly deltaName: string;
  readonly keyColumns: readonly string[];
  readonly tableOid: number | null;
  readonly hold: { readonly mark: string | null; readonly due: boolean; readonly attempts: number } | null;
  readonly copy: CopyRow | null;
  readonly hasRejected: boolean;
}

interface CopyRow {
  readonly version: CopyVersion;
  readonly policy: CopyState['policy'];
  readonly state: CopyState['state'];
  readonly doneTo: Boundary | null;
  readonly chunkTo: Boundary | null;
  readonly chunkOpen: boolean;
  readonly rowsCopied: number;
}

/** $1 sync, $2 destination. One row, in the caller's snapshot; takes no locks. */
const READ_STATE = `
  select txid_current_snapshot()::text as end_mark,
    transaction_timestamp() as looked_at,
    p.mark::text as mark, p.run::text as run, p.writes::text as writes,
    p.sync is not null as registered,
    coalesce(not ${markIsFromHere('p')}, false) as other_place,
    coalesce(l.paused_at is not null, false) as paused,
    l.deltas_per_second as rate,
    l.begun_deltas as unfinished,
    ${READ_LARGE} as large,
    (
      select coalesce(json_agg(json_build_object(
        'schema', r.schema_name,
        'table', r.table_name,
        'deltaName', r.delta_name,
        'keyColumns', r.key_columns,
        'tableOid', r.table_oid::int8,
        'hold', case when h.sync is not null then json_build_object(
          'mark', h.mark::text, 'due', h.retry_at <= clock_timestamp() or coalesce(coalesce(h.tried_at, h.held_at) < (
            select l.asked_at from bucardo.lane_status l where (l.sync, l.destination) = ($1, $2)), false),
          'attempts', h.attempts) end,
        'copy', case when c.sync is not null then json_build_object(
          'version', c.xmin::text, 'policy', c.policy, 'state', c.state, 'doneTo', c.done_to, 'chunkTo', c.chunk_to,
          'chunkOpen', c.chunk_open, 'rowsCopied', c.rows_copied) end,
        'hasRejected', exists (
          select from bucardo.rejected_row j
          where (j.sync, j.destination, j.schema_name, j.table_name) = ($1, $2, r.schema_name, r.table_name))
      ) order by r.schema_name, r.table_name), '[]')
      from bucardo.sync_relation s
      join bucardo.relation r using (schema_name, table_name)
      left join bucardo.held_relation h
        on (h.sync, h.destination, h.schema_name, h.table_name) = ($1, $2, r.schema_name, r.table_name)
      left join bucardo.copy c
        on (c.sync, c.destination, c.schema_name, c.table_name) = ($1, $2, r.schema_name, r.table_name)
      where s.sync = $1
    ) as relations,
    (
      select coalesce(json_agg(p), '[]') from (${tableProblems(`exists (
        select from bucardo.sync_relation s
        where s.sync = $1 and (s.schema_name, s.table_name) = (r.schema_name, r.table_name)
      )`)}) p
    ) as problems
  from (select) one
  left join bucardo.progress p on p.sync = $1 and p.destination = $2
  left join bucardo.lane_status l on l.sync = $1 and l.destination = $2`;

/**
 * @param source in a repeatable-read transaction
 * @throws BUC-NOT-APPLIED
 */
export async function readLaneState(source: Connection, lane: Lane): Promise<LaneState> {
  const row = await readRow(source, lane);
  if (!row.registered) throw new BucardoError('BUC-NOT-APPLIED', { sync: lane.sync, database: lane.source });
  const problems = new Map(
    row.problems.map((problem) => [displayRelation(problem), tableProblemError(problem, lane.source)]),
  );
  return {
    end: parseSnapshot(row.end_mark),
    lookedAt: row.looked_at,
    mark: row.mark === null ? NOTHING : parseSnapshot(row.mark),
    storedMark: row.mark,
    run: BigInt(row.run),
    writes: row.writes === null ? undefined : BigInt(row.writes),
    otherPlace: row.other_place,
    paused: row.paused,
    history: {
      rate: row.rate ?? undefined,
      unfinished: row.unfinished === null ? undefined : Number(row.unfinished),
    },
    large: row.large === null ? undefined : parseLarge(row.large),
    relations: row.relations.map((relation) =>
      relationState(relation, problems.get(displayRelation(relation))),
    ),
    problems: row.problems,
  };
}

async function readRow(source: Connection, lane: Lane): Promise<StateRow> {
  try {
    const [row] = await source.rowsPrepared<StateRow>(READ_STATE, [lane.sync, lane.destination]);
    if (row !== undefined) return row;
  } catch (error) {
    throw asNotApplied(error, { sync: lane.sync, database: lane.source });
  }
  throw new BucardoError('BUC-UNEXPECTED', { sync: lane.sync, database: lane.source, detail: 'no state' });
}

function relationState(
  { hold, copy, tableOid, ...row }: RelationRow,
  problem: BucardoError | undefined,
): RelationState {
  return {
    ...row,
    tableOid: tableOid ?? undefined,
    problem,
    hold:
      hold === null ? undefined : { ...hold, mark: hold.mark === null ? NOTHING : parseSnapshot(hold.mark) },
    copy:
      copy === null
        ? undefined
        : {
            version: copy.version,
            policy: copy.policy,
            state: copy.state,
            doneTo: copy.doneTo ?? undefined,
            open: copy.chunkOpen ? { upTo: copy.chunkTo ?? undefined } : undefined,
            rowsCopied: copy.rowsCopied,
          },
  };
}

/** Which pending keys of a relation its deltas may bring now. */
export type Reach =
  | { readonly kind: 'all' }
  | { readonly kind: 'none' }
  | { readonly kind: 'up to'; readonly boundary: Boundary };

/**
 * While a table is being copied its deltas reach as far as the copy does, and no delta is passed over before it is
 * decided that the table is copied. A chunk that was begun counts as copied: its
 * rows may be at the target already, so changes of them must arrive.
 */
export function reachOf(copy: CopyState | undefined): Reach {
  if (copy === undefined) return { kind: 'all' };
  if (copy.state === 'wanted') return { kind: 'none' };
  if (copy.open !== undefined) {
    return copy.open.upTo === undefined ? { kind: 'all' } : { kind: 'up to', boundary: copy.open.upTo };
  }
  return copy.doneTo === undefined ? { kind: 'none' } : { kind: 'up to', boundary: copy.doneTo };
}
