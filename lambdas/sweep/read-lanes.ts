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
  /** Delta tables of the sync's relations. */
  readonly deltaNames: readonly string[];
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
