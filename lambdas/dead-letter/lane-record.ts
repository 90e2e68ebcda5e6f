/** What a source says about a lane whose kick became a dead letter, and what is recorded there. */
import type { Lane } from '../../shared/config/types.ts';
import { asNotApplied } from '../../shared/capture/not-applied.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { errorCodes } from '../../shared/errors/codes.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import type { LaneLook } from './plan-letter.ts';

export interface RecordedLane extends LaneLook {
  /** The error of the last run that reported one. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

interface LaneRow {
  readonly paused: boolean;
  readonly failures: number;
  readonly runFinishedAtMs: number | null;
  readonly deadLetterAtMs: number | null;
  readonly code: string | null;
  readonly message: string | null;
}

/** Locks nothing. @throws BUC-NOT-APPLIED */
export async function readLane(source: Connection, { sync, destination }: Lane): Promise<RecordedLane> {
  let row: LaneRow | undefined;
  try {
    [row] = await source.rows<LaneRow>(
      `select paused_at is not null as paused, failures,
         (extract(epoch from run_finished_at) * 1000)::float8 as "runFinishedAtMs",
         (extract(epoch from dead_letter_at) * 1000)::float8 as "deadLetterAtMs",
         error_code as code, error_detail as message
       from bucardo.lane_status where (sync, destination) = ($1, $2)`,
      [sync, destination],
    );
  } catch (error) {
    throw asNotApplied(error, { sync, database: source.database });
  }
  if (row === undefined) throw new BucardoError('BUC-NOT-APPLIED', { sync, database: source.database });
  const { code, message } = row;
  return {
    ...row,
    runFinishedAtMs: row.runFinishedAtMs ?? undefined,
    deadLetterAtMs: row.deadLetterAtMs ?? undefined,
    error: code === null ? undefined : { code, message: message ?? '' },
  };
}

/**
 * Locks the lane's row for a moment. A run that went well since `look` leaves nothing to record: its own record is newer.
 * What a run reported stays; a lane whose runs report nothing gets an error that says so.
 */
export async function recordDeadLetter(
  source: Connection,
  { sync, destination }: Lane,
  look: RecordedLane,
  retryInSeconds: number,
): Promise<void> {
  await source.run(
    `update bucardo.lane_status set
       dead_letter_at = coalesce(dead_letter_at, clock_timestamp()), failures = greatest(failures, 1),
       error_code = coalesce(error_code, $3), error_detail = coalesce(error_detail, $4),
       error_at = coalesce(error_at, clock_timestamp()),
       retry_at = clock_timestamp() + $5 * interval '1 second'
     where (sync, destination) = ($1, $2)
       and (extract(epoch from run_finished_at) * 1000)::float8 is not distinct from $6::float8`,
    [
      sync,
      destination,
      'BUC-LANE-DEAD-LETTER',
      errorCodes['BUC-LANE-DEAD-LETTER'].title,
      retryInSeconds,
      look.runFinishedAtMs ?? null,
    ],
  );
}
