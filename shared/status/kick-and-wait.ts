/** Asking lanes to run, and waiting until everything that is committed at the source now has arrived. */
import type { Lane, Sync } from '../config/types.ts';
import { asBucardoError } from '../errors/bucardo-error.ts';
import type { ErrorCode } from '../errors/codes.ts';
import type { Connection } from '../postgres/connection.ts';
import { askForRuns, readGoal, waitForLane } from './wait-for-lane.ts';

export interface LaneOutcome {
  readonly lane: string;
  readonly done: boolean;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** What is to be known about a lane that is done; none if left out. */
  readonly notes?: readonly string[];
}

export interface KickAndWait {
  readonly sync: Sync;
  /** Of the sync. */
  readonly lanes: readonly Lane[];
  /** Sends the kicks. */
  readonly send: () => Promise<unknown>;
  /** For sending and all lanes together. */
  readonly timeoutSeconds: number;
}

/** Waits for every lane, whatever becomes of the others. @param source of the sync */
export async function kickAndWait(
  source: Connection,
  { sync, lanes, send, timeoutSeconds }: KickAndWait,
): Promise<readonly LaneOutcome[]> {
  const endMs = Date.now() + timeoutSeconds * 1000;
  const goal = await readGoal(source);
  await askForRuns(source, lanes);
  await send();
  const outcomes: LaneOutcome[] = [];
  for (const lane of lanes) {
    const leftSeconds = Math.max(0, (endMs - Date.now()) / 1000);
    try {
      const notes = await waitForLane(source, { lane, sync, goal, asked: true, timeoutSeconds: leftSeconds });
      outcomes.push({ lane: lane.id, done: true, ...(notes.length === 0 ? {} : { notes }) });
    } catch (thrown) {
      const { code, message } = asBucardoError(thrown);
      outcomes.push({ lane: lane.id, done: false, error: { code, message } });
    }
  }
  return outcomes;
}
