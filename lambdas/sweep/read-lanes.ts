/** What a source knows about its lanes: when they ran, what waits, and whether changes wait for too long. */
import { asNotApplied } from '../../shared/capture/not-applied.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import { NOTHING, notCovered, parseSnapshot } from '../../shared/postgres/snapshot.ts';

/** Seconds by the source's clock, null if it never happened. */
export interface LaneRow {
  readonly sync: string;
  readonly destination: string;
  readonly mark: string | null;
  readonly runStartedSecondsAgo: number | null;
  readonly failures: number;
  readonly retryDueForSeconds: number | null;
  readonly heldDueForSeconds: number | null;
  readonly copyUnfinished: boolean;
  readonly paused: boolean;
  readonly rejectedRows: number;
  /** Delta tables of the sync's relations. */
  readonly deltaNames: readonly string[];
  /** Relations that are held have marks of their own. */
  readonly held: readonly { readonly deltaName: string; readonly mark: string | null }[];
}

/**
 * One row per registered lane; takes no locks. A mark from another cluster (the source was restored) says nothing about
 * this one's transactions: it is given as null, everything pending, as a run takes it.
 */
const READ_LANES = `
  select p.sync, p.destination,
    case when p.system_identifier = (pg_control_system()).system_identifier then p.mark::text end as mark,
    extract(epoch from clock_timestamp() - s.run_started_at)::float8 as "runStartedSecondsAgo",
    coalesce(s.failures, 0) as failures,
    extract(epoch from clock_timestamp() - s.retry_at)::float8 as "retryDueForSeconds",
    (
      select extract(epoch from clock_timestamp() - min(h.retry_at))::float8
      from bucardo.held_relation h
      where h.sync = p.sync and h.destination = p.destination
    ) as "heldDueForSeconds",
    exists (
      select from bucardo.copy c where c.sync = p.sync and c.destination = p.destination
    ) as "copyUnfinished",
    s.paused_at is not null as paused,
    (
      select count(*) from bucardo.rejected_row j where (j.sync, j.destination) = (p.sync, p.destination)
    )::float8 as "rejectedRows",
    (
      select coalesce(json_agg(json_build_object('deltaName', r.delta_name, 'mark', h.mark::text)), '[]')
      from bucardo.held_relation h
      join bucardo.relation r using (schema_name, table_name)
      where (h.sync, h.destination) = (p.sync, p.destination)
    ) as held,
    array(
      select r.delta_name
      from bucardo.sync_relation sr
      join bucardo.relation r using (schema_name, table_name)
      where sr.sync = p.sync
      order by r.delta_name
    ) as "deltaNames"
  from bucardo.progress p
  left join bucardo.lane_status s using (sync, destination)`;

/** @throws BUC-NOT-APPLIED */
export async function readLanes(source: Connection): Promise<readonly LaneRow[]> {
  try {
    return await source.rows<LaneRow>(READ_LANES);
  } catch (error) {
    throw asNotApplied(error, { database: source.database });
  }
}

/**
 * Whether some change of the lane has been visible but not replicated for longer than `olderThanSeconds`. Reads each
 * delta table's index on txid from the mark on, and stops at the first such row; takes no locks.
 */
export async function hasOverdueChanges(
  source: Connection,
  { mark, deltaNames }: Pick<LaneRow, 'mark' | 'deltaNames'>,
  olderThanSeconds: number,
): Promise<boolean> {
  const pending = notCovered('txid', mark === null ? NOTHING : parseSnapshot(mark));
  for (const deltaName of deltaNames) {
    const { overdue } = await source.row<{ overdue: boolean }>(
      `select exists (
        select from bucardo.${quoteIdentifier(deltaName)}
        where ${pending} and txntime < clock_timestamp() - make_interval(secs => $1)
      ) as overdue`,
      [olderThanSeconds],
    );
    if (overdue) return true;
  }
  return false;
}

/** Among so many of the first waiting deltas is the oldest: they are in the order of transactions. */
const LOOKED_AT = 1_000;

/**
 * Age in seconds of the oldest change that waits; 0 if none does. One statement over all delta tables, each by its index on txid,
 * bounded however much waits; takes no locks.
 */
export async function readLagSeconds(
  source: Connection,
  { mark, deltaNames, held }: Pick<LaneRow, 'mark' | 'deltaNames' | 'held'>,
): Promise<number> {
  if (deltaNames.length === 0) return 0;
  const marks = new Map(held.map((relation) => [relation.deltaName, relation.mark]));
  const parts = deltaNames.map((deltaName) => {
    const position = marks.has(deltaName) ? marks.get(deltaName) : mark;
    const pending = notCovered('txid', typeof position === 'string' ? parseSnapshot(position) : NOTHING);
    return `select min(txntime) as oldest
      from (
        select txntime from bucardo.${quoteIdentifier(deltaName)} where ${pending} order by txid limit ${LOOKED_AT}
      ) first`;
  });
  const { lagSeconds } = await source.row<{ lagSeconds: number | null }>(
    `select extract(epoch from clock_timestamp() - min(oldest))::float8 as "lagSeconds"
     from (${parts.join(' union all ')}) parts`,
  );
  return Math.max(0, lagSeconds ?? 0);
}
