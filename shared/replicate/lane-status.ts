/** The outcome of a lane's runs, on its source, for `status`, the sweep and alarms. */
import type { Lane } from '../config/types.ts';
import type { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { retryDelaySeconds } from './retry-delay.ts';

/** A run that found nothing is recorded this often: schedules count from the last run. */
const IDLE_RUN_SECONDS = 30;

/** A run as far as it has come. Recorded now and then while it lasts, and at its end. */
export interface RunSoFar {
  readonly startedAtMs: number;
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
    `update bucardo.lane_status set run_started_at = to_timestamp($3), run_finished_at = clock_timestamp(),
       run_rows = case when $6 then $4 else run_rows end, run_seconds = case when $6 then $5 else run_seconds end,
       total_rows = total_rows + $8, deltas_per_second = coalesce($9, deltas_per_second), failures = 0,
       error_code = null, error_detail = null, error_at = null, retry_at = null, dead_letter_at = null
     where (sync, destination) = ($1, $2) and (
       $6 or failures > 0 or dead_letter_at is not null or run_started_at is null
       or run_started_at < clock_timestamp() - make_interval(secs => $7))`,
    [
      sync,
      destination,
      run.startedAtMs / 1000,
      run.rows,
      run.seconds,
      run.batches > 0,
      IDLE_RUN_SECONDS,
      run.newRows,
      run.deltasPerSecond,
    ],
  );
}

/** @param error its text holds names only, so it may be shown to everybody who may read the status */
export async function recordFailure(
  source: Connection,
  { sync, destination }: Lane,
  error: BucardoError,
): Promise<void> {
  const { failures } = await source.row<{ failures: number }>(
    `update bucardo.lane_status set failures = failures + 1, error_code = $3, error_detail = $4, error_at = clock_timestamp()
     where (sync, destination) = ($1, $2) returning failures`,
    [sync, destination, error.code, error.message],
  );
  await source.run(
    `update bucardo.lane_status set retry_at = clock_timestamp() + $3 * interval '1 second'
     where (sync, destination) = ($1, $2)`,
    [sync, destination, retryDelaySeconds(failures)],
  );
}
