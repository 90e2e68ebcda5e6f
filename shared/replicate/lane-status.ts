/** The outcome of a lane's runs, on its source, for `status`, the sweep and alarms. */
import type { Lane } from '../config/types.ts';
import type { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { retryDelaySeconds } from './retry-delay.ts';

/** A run that found nothing is recorded this often, and whenever somebody waits for one: schedules count from the last run. */
const IDLE_RUN_SECONDS = 30;

/** A run as far as it has come. Recorded now and then while it lasts, and at its end. */
export interface RunSoFar {
  /** When its first and its last batch looked at the source, by the source's clock. Undefined: none came to its end. */
  readonly startedAt: string | undefined;
  readonly lookedAt: string | undefined;
  readonly seconds: number;
  readonly rows: number;
  readonly batches: number;
  /** Of `rows`, those that were not recorded before. */
  readonly newRows: number;
  /** As measured by this run; undefined if nothing was. */
  readonly deltasPerSecond: number | undefined;
}

/** What works now is not failing any more, so errors of earlier runs are forgotten. */
export async function recordRun(
  source: Connection,
  { sync, destination }: Lane,
  run: RunSoFar,
): Promise<void> {
  await source.run(
    `update bucardo.lane_status set run_started_at = coalesce($3, run_started_at), run_finished_at = clock_timestamp(),
       looked_at = coalesce($9, looked_at),
       run_rows = case when $6 then $4 else run_rows end, run_seconds = case when $6 then $5 else run_seconds end,
       total_rows = total_rows + $8, deltas_per_second = coalesce($10, deltas_per_second), failures = 0,
       error_code = null, error_detail = null, error_at = null, error_run_at = null, retry_at = null,
       dead_letter_at = null
     where (sync, destination) = ($1, $2) and (
       $6 or failures > 0 or dead_letter_at is not null or run_started_at is null
       or run_started_at < clock_timestamp() - make_interval(secs => $7)
       or asked_at > coalesce(looked_at, '-infinity'))`,
    [
      sync,
      destination,
      run.startedAt,
      run.rows,
      run.seconds,
      run.batches > 0,
      IDLE_RUN_SECONDS,
      run.newRows,
      run.lookedAt,
      run.deltasPerSecond,
    ],
  );
}

/** A run that failed: what it had done before, and when it began. */
export interface FailedRun {
  /** When its first batch looked, by the source's clock; undefined if none came to its end. */
  readonly lookedAt: string | undefined;
  /** By this process (`performance.now()`). */
  readonly startedAtMs: number;
  /** Rows that it wrote or deleted and that were not recorded before. */
  readonly newRows: number;
}

/** @param error its text holds names only, so it may be shown to everybody who may read the status */
export async function recordFailure(
  source: Connection,
  { sync, destination }: Lane,
  error: BucardoError,
  run: FailedRun,
): Promise<void> {
  const { now } = await source.row<{ now: string }>(`select clock_timestamp() as now`);
  // The server read its clock before the answer came, so this is the run's beginning or a moment before it, never later.
  const sinceSeconds = (performance.now() - run.startedAtMs) / 1000;
  const { failures } = await source.row<{ failures: number }>(
    `update bucardo.lane_status set failures = failures + 1, error_code = $3, error_detail = $4, error_at = clock_timestamp(),
       error_run_at = coalesce($5::timestamptz, $6::timestamptz - make_interval(secs => $7)),
       total_rows = total_rows + $8
     where (sync, destination) = ($1, $2) returning failures`,
    [sync, destination, error.code, error.message, run.lookedAt, now, sinceSeconds, run.newRows],
  );
  await source.run(
    `update bucardo.lane_status set retry_at = clock_timestamp() + $3 * interval '1 second'
     where (sync, destination) = ($1, $2)`,
    [sync, destination, retryDelaySeconds(failures)],
  );
}
