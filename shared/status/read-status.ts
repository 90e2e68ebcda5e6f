/**
 * What a source says about its lanes: what waits and for how long, how the last run went, what needs a person. One look,
 * one snapshot; nothing is locked and nothing is changed.
 */
import { asNotApplied } from '../capture/not-applied.ts';
import { markIsFromHere } from '../capture/source-identity.ts';
import { readTableProblems, type TableProblem, tableProblemError } from '../capture/table-identity.ts';
import type { ErrorCode } from '../errors/codes.ts';
import { lookAtCapture } from '../capture/watch-capture.ts';
import type { CopyReason } from '../capture/control-schema.ts';
import type { Sync } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation } from '../postgres/identifiers.ts';
import { NOTHING, notCovered, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import { pendingDeltas } from '../replicate/pending.ts';
import { readUnapplied } from './read-unapplied.ts';

export interface CopyStatus {
  readonly relation: string;
  readonly state: 'wanted' | 'copying';
  /** `if-empty`: only if the target has no rows. */
  readonly policy: 'if-empty' | 'always';
  readonly rowsCopied: number;
  /** From the source's statistics; 0 if there are none yet. */
  readonly rowsEstimated: number;
  readonly rowsPerSecond: number | undefined;
  readonly remainingSeconds: number | undefined;
}

export interface HeldStatus {
  readonly relation: string;
  readonly code: string;
  readonly message: string;
  readonly retryInSeconds: number;
}

export interface ProblemStatus {
  readonly relation: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export interface LaneStatus {
  readonly lane: string;
  readonly sync: string;
  readonly source: string;
  readonly destination: string;
  /** Deltas and TRUNCATEs that wait. Counted up to `PENDING_LIMIT` per relation. */
  readonly pending: number;
  /** Age of the oldest change that waits; 0 if none does. */
  readonly lagSeconds: number;
  readonly lastRunSecondsAgo: number | undefined;
  readonly lastRunRows: number;
  readonly rowsPerSecond: number | undefined;
  readonly totalRows: number;
  readonly failures: number;
  readonly error:
    | { readonly code: string; readonly message: string; readonly secondsAgo: number }
    | undefined;
  /** How long ago somebody paused the lane, if it is. */
  readonly pausedSecondsAgo: number | undefined;
  /** How long ago its kick became a dead letter, if it did and no run went well since. */
  readonly deadLetterSecondsAgo: number | undefined;
  readonly rejectedRows: number;
  readonly held: readonly HeldStatus[];
  readonly copies: readonly CopyStatus[];
  /** Tables whose capture is or was not whole since the last `apply` or sweep: changes may be missed, or have been. */
  readonly uncaptured: readonly { readonly relation: string; readonly why: string }[];
  /** Tables whose delivered changes cannot be deleted from the source, so that it grows. */
  readonly purgeFailures: readonly {
    readonly relation: string;
    readonly code: string;
    readonly message: string;
    readonly secondsAgo: number;
  }[];
  /** Tables of which the first copy (`if-empty`) copied nothing, because the target had rows: these may differ. */
  readonly notCopied: readonly { readonly relation: string; readonly secondsAgo: number }[];
  /** Key columns that were captured and are not there any more: renamed or dropped. */
  readonly brokenKeys: readonly { readonly relation: string; readonly column: string }[];
  /** The source was restored or moved since the lane's mark was made, and no run has seen it yet. */
  readonly sourceMoved: boolean;
  /** How many tables the lane has. */
  readonly tables: number;
  /** Tables that the configuration wants and that are not captured. */
  readonly unapplied: readonly string[];
  /** Tables that deltas alone cannot make equal any more. */
  readonly copyNeeded: readonly { readonly relation: string; readonly reason: CopyReason }[];
  /** Tables that are not what is captured, as the catalogs say now. */
  readonly problems: readonly ProblemStatus[];
}

/** Counting further would only take time: it is a lot. */
export const PENDING_LIMIT = 1_000_000;

/** How long the status waits for a look at the rows of a new partition; what is not known by then counts as missed. */
const STATUS_PATIENCE_MS = 2_000;

interface Waiting {
  readonly pending: number;
  readonly lagSeconds: number;
}

interface Named {
  readonly schema: string;
  readonly table: string;
}

interface StatusRow {
  readonly sync: string;
  readonly destination: string;
  readonly mark: string | null;
  readonly sourceMoved: boolean;
  readonly lastRunSecondsAgo: number | null;
  readonly runRows: string;
  readonly runSeconds: number;
  readonly totalRows: string;
  readonly failures: number;
  readonly error: LaneStatus['error'] | null;
  readonly pausedSecondsAgo: number | null;
  readonly deadLetterSecondsAgo: number | null;
  readonly rejectedRows: string;
  readonly relations: readonly (Named & {
    readonly deltaName: string;
    /** False if somebody dropped the delta table. */
    readonly there: boolean;
    readonly heldMark: string | null;
    readonly held: boolean;
  })[];
  readonly held: readonly (Named & Omit<HeldStatus, 'relation'>)[];
  readonly copies: readonly (Named &
    Pick<CopyStatus, 'state' | 'policy' | 'rowsCopied' | 'rowsEstimated'> & {
      readonly seconds: number | null;
    })[];
  readonly copyNeeded: readonly (Named & { readonly reason: CopyReason })[];
  readonly purgeFailures: readonly (Named & Omit<LaneStatus['purgeFailures'][number], 'relation'>)[];
  readonly notCopied: readonly (Named & { readonly secondsAgo: number })[];
  readonly brokenKeys: readonly (Named & { readonly column: string })[];
}

/** $1 syncs. One row per registered lane. A mark of another place says nothing: everything is pending then. */
const READ_STATUS = `
  select p.sync, p.destination,
    case when ${markIsFromHere('p')} then p.mark::text end as mark,
    not ${markIsFromHere('p')} as "sourceMoved",
    extract(epoch from clock_timestamp() - s.run_finished_at)::float8 as "lastRunSecondsAgo",
    coalesce(s.run_rows, 0) as "runRows",
    coalesce(s.run_seconds, 0) as "runSeconds",
    coalesce(s.total_rows, 0) as "totalRows",
    coalesce(s.failures, 0) as failures,
    case when s.error_code is not null then json_build_object('code', s.error_code, 'message', s.error_detail,
      'secondsAgo', extract(epoch from clock_timestamp() - s.error_at)::float8) end as error,
    extract(epoch from clock_timestamp() - s.paused_at)::float8 as "pausedSecondsAgo",
    extract(epoch from clock_timestamp() - s.dead_letter_at)::float8 as "deadLetterSecondsAgo",
    (
      select count(*) from bucardo.rejected_row j where (j.sync, j.destination) = (p.sync, p.destination)
    ) as "rejectedRows",
    (
      select coalesce(json_agg(json_build_object('schema', r.schema_name, 'table', r.table_name,
        'deltaName', r.delta_name, 'there', to_regclass(format('bucardo.%I', r.delta_name)) is not null,
        'heldMark', h.mark::text, 'held', h.sync is not null)), '[]')
      from bucardo.sync_relation sr
      join bucardo.relation r using (schema_name, table_name)
      left join bucardo.held_relation h
        on (h.sync, h.destination, h.schema_name, h.table_name) = (p.sync, p.destination, r.schema_name, r.table_name)
      where sr.sync = p.sync
    ) as relations,
    (
      select coalesce(json_agg(json_build_object('schema', h.schema_name, 'table', h.table_name, 'code', h.error_code,
        'message', h.error_detail,
        'retryInSeconds', greatest(0, extract(epoch from h.retry_at - clock_timestamp()))::float8)), '[]')
      from bucardo.held_relation h where (h.sync, h.destination) = (p.sync, p.destination)
    ) as held,
    (
      select coalesce(json_agg(json_build_object('schema', c.schema_name, 'table', c.table_name, 'state', c.state,
        'policy', c.policy, 'rowsCopied', c.rows_copied, 'rowsEstimated', c.rows_estimated,
        'seconds', extract(epoch from clock_timestamp() - c.started_at)::float8)), '[]')
      from bucardo.copy c where (c.sync, c.destination) = (p.sync, p.destination)
    ) as copies,
    (
      select coalesce(json_agg(json_build_object('schema', n.schema_name, 'table', n.table_name, 'reason', n.reason)), '[]')
      from bucardo.copy_needed n where (n.sync, n.destination) = (p.sync, p.destination)
    ) as "copyNeeded",
    (
      select coalesce(json_agg(json_build_object('schema', f.schema_name, 'table', f.table_name, 'code', f.error_code,
        'message', f.error_detail, 'secondsAgo', extract(epoch from clock_timestamp() - f.since)::float8)), '[]')
      from bucardo.purge_failure f join bucardo.sync_relation sr using (schema_name, table_name)
      where sr.sync = p.sync
    ) as "purgeFailures",
    (
      select coalesce(json_agg(json_build_object('schema', k.schema_name, 'table', k.table_name,
        'secondsAgo', extract(epoch from clock_timestamp() - k.skipped_at)::float8)
        order by k.schema_name, k.table_name), '[]')
      from bucardo.copy_skipped k where (k.sync, k.destination) = (p.sync, p.destination)
    ) as "notCopied",
    (
      select coalesce(json_agg(json_build_object('schema', r.schema_name, 'table', r.table_name, 'column', k.name)
        order by r.schema_name, r.table_name, k.name), '[]')
      from bucardo.sync_relation sr
      join bucardo.relation r using (schema_name, table_name)
      join pg_class c on c.oid = r.table_oid
      cross join unnest(r.key_columns) as k(name)
      where sr.sync = p.sync and not exists (
        select from pg_attribute a where a.attrelid = c.oid and a.attname = k.name and not a.attisdropped
      )
    ) as "brokenKeys"
  from bucardo.progress p
  left join bucardo.lane_status s using (sync, destination)
  where p.sync = any($1)
  order by p.sync, p.destination`;

/**
 * The lanes of the given syncs that the source knows.
 * @throws BUC-NOT-APPLIED
 */
export async function readStatus(source: Connection, syncs: readonly Sync[]): Promise<readonly LaneStatus[]> {
  const { read, unapplied } = await source.transaction('repeatable read read only', async () => {
    const rows = await readRows(
      source,
      syncs.map(({ name }) => name),
    );
    const read: LaneLook[] = [];
    for (const row of rows) {
      const waiting = await readWaiting(source, row);
      read.push({ row, waiting, problems: await readTableProblems(source, row.sync) });
    }
    return { read, unapplied: rows.length === 0 ? undefined : await readUnapplied(source, syncs) };
  });
  const losses = read.length === 0 ? [] : await readLosses(source);
  return read.map((one) => laneStatus(source.database, one, unapplied?.get(one.row.sync) ?? [], losses));
}

interface LaneLook {
  readonly row: StatusRow;
  readonly waiting: Waiting;
  readonly problems: readonly TableProblem[];
}

interface Loss {
  readonly relation: string;
  readonly why: string;
}

async function readLosses(source: Connection): Promise<readonly Loss[]> {
  const looks = await lookAtCapture(source, STATUS_PATIENCE_MS);
  return looks
    .filter(({ losses }) => losses.length > 0)
    .map(({ state, losses }) => ({ relation: displayRelation(state), why: losses.join('; ') }));
}

async function readRows(source: Connection, syncs: readonly string[]): Promise<readonly StatusRow[]> {
  try {
    return await source.rowsPrepared<StatusRow>(READ_STATUS, [syncs]);
  } catch (error) {
    throw asNotApplied(error, { database: source.database });
  }
}

function laneStatus(
  source: string,
  { row, waiting, problems }: LaneLook,
  unapplied: readonly string[],
  losses: readonly Loss[],
): LaneStatus {
  const { sync, destination } = row;
  const relations = new Set(row.relations.map(displayRelation));
  return {
    lane: `${sync}/${destination}`,
    sync,
    source,
    destination,
    ...waiting,
    lastRunSecondsAgo: row.lastRunSecondsAgo ?? undefined,
    lastRunRows: Number(row.runRows),
    rowsPerSecond: row.runSeconds > 0 ? Number(row.runRows) / row.runSeconds : undefined,
    totalRows: Number(row.totalRows),
    failures: row.failures,
    error: row.error ?? undefined,
    pausedSecondsAgo: row.pausedSecondsAgo ?? undefined,
    deadLetterSecondsAgo: row.deadLetterSecondsAgo ?? undefined,
    rejectedRows: Number(row.rejectedRows),
    held: row.held.map(({ code, message, retryInSeconds, ...name }) => ({
      relation: displayRelation(name),
      code,
      message,
      retryInSeconds,
    })),
    copies: row.copies.map(copyStatus),
    uncaptured: losses.filter(({ relation }) => relations.has(relation)),
    purgeFailures: row.purgeFailures.map(({ code, message, secondsAgo, ...name }) => ({
      relation: displayRelation(name),
      code,
      message,
      secondsAgo,
    })),
    notCopied: row.notCopied.map(({ secondsAgo, ...name }) => ({
      relation: displayRelation(name),
      secondsAgo,
    })),
    brokenKeys: row.brokenKeys.map(({ column, ...name }) => ({ relation: displayRelation(name), column })),
    sourceMoved: row.sourceMoved,
    tables: row.relations.length,
    unapplied,
    copyNeeded: row.copyNeeded.map(({ reason, ...name }) => ({ relation: displayRelation(name), reason })),
    problems: problems.map((problem) => problemStatus(problem, source)),
  };
}

function problemStatus(problem: TableProblem, database: string): ProblemStatus {
  const { code, message, remedy } = tableProblemError(problem, database);
  return { relation: displayRelation(problem), code, message, remedy };
}

function copyStatus({
  state,
  policy,
  rowsCopied,
  rowsEstimated,
  seconds,
  ...name
}: StatusRow['copies'][number]): CopyStatus {
  const rowsPerSecond = seconds !== null && seconds > 0 && rowsCopied > 0 ? rowsCopied / seconds : undefined;
  const rowsLeft = Math.max(0, rowsEstimated - rowsCopied);
  return {
    relation: displayRelation(name),
    state,
    policy,
    rowsCopied,
    rowsEstimated,
    rowsPerSecond,
    remainingSeconds:
      rowsPerSecond === undefined || rowsEstimated === 0 ? undefined : rowsLeft / rowsPerSecond,
  };
}

/** Deltas and TRUNCATEs that wait, and the age of the first of them in the order of transactions. */
async function readWaiting(source: Connection, { sync, mark, relations }: StatusRow): Promise<Waiting> {
  const readable = relations.filter(({ there }) => there);
  const position = (text: string | null): Snapshot => (text === null ? NOTHING : parseSnapshot(text));
  const parts = readable.map(({ deltaName, held, heldMark }) => {
    const range = { deltaName, mark: position(held ? heldMark : mark), cut: undefined };
    return `
      select count(*) as pending, (
        select extract(epoch from clock_timestamp() - min(txntime))
        from (select txntime from ${pendingDeltas(range)} d order by txid limit 1000) first
      )::float8 as lag
      from (select from ${pendingDeltas(range)} d limit ${PENDING_LIMIT}) waiting`;
  });
  parts.push(`
      select count(*) as pending, extract(epoch from clock_timestamp() - min(t.txntime))::float8 as lag
      from bucardo.truncation t join bucardo.sync_relation s using (schema_name, table_name)
      where s.sync = $1 and ${notCovered('t.txid', position(mark))}`);
  const row = await source.row<{ pending: string; lag: number | null }>(
    `select sum(pending) as pending, max(lag) as lag from (${parts.join(' union all ')}) parts`,
    [sync],
  );
  return { pending: Number(row.pending), lagSeconds: Math.max(0, row.lag ?? 0) };
}
