/** Pausing lanes: a paused lane's kicks do nothing, and its changes wait in the delta tables until it is resumed. */
import { asNotApplied } from '../capture/not-applied.ts';
import type { Lane } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';

/** Pausing again keeps the first moment. A run that is under way ends with its batch. @throws BUC-NOT-APPLIED */
export async function pauseLane(source: Connection, lane: Lane): Promise<void> {
  await change(source, lane, 'paused_at = coalesce(paused_at, clock_timestamp())');
}

/** Whoever resumes a lane kicks it afterwards. @throws BUC-NOT-APPLIED */
export async function resumeLane(source: Connection, lane: Lane): Promise<void> {
  await change(source, lane, 'paused_at = null');
}

/** Locks the lane's row for a moment. */
async function change(source: Connection, { sync, destination }: Lane, assignment: string): Promise<void> {
  let changed: number;
  try {
    changed = await source.run(
      `update bucardo.lane_status set ${assignment} where (sync, destination) = ($1, $2)`,
      [sync, destination],
    );
  } catch (error) {
    throw asNotApplied(error, { sync, database: source.database });
  }
  if (changed === 0) throw new BucardoError('BUC-NOT-APPLIED', { sync, database: source.database });
}
