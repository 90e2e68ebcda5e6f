/** Asking lanes to run, and waiting until everything that is committed at the source now has arrived. */
import type { Lane } from '../config/types.ts';
import { asBucardoError } from '../errors/bucardo-error.ts';
import type { ErrorCode } from '../errors/codes.ts';
import type { Connection } from '../postgres/connection.ts';
import { readGoal, waitForLane } from './wait-for-lane.ts';

export interface LaneOutcome {
  readonly lane: string;
  readonly done: boolean;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

/**
 * Kicks by `send` and waits for every lane, whatever becomes of the others. The time is for sending and all lanes together.
 * @param source of all the lanes
 */
export async function kickAndWait(
  source: Connection,
  lanes: readonly Lane[],
  send: () => Promise<unknown>,
  timeoutSeconds: number,
): Promise<readonly LaneOutcome[]> {
  const endMs = Date.now() + timeoutSeconds * 1000;
  const goal = await readGoal(source);
  await send();
  const outcomes: LaneOutcome[] = [];
  for (const lane of lanes) {
    const leftSeconds = Math.max(0, (endMs - Date.now()) / 1000);
    try {
      await waitForLane(source, lane, goal, leftSeconds);
      outcomes.push({ lane: lane.id, done: true });
    } catch (thrown) {
      const { code, message } = asBucardoError(thrown);
      outcomes.push({ lane: lane.id, done: false, error: { code, message } });
    }
  }
  return outcomes;
}
