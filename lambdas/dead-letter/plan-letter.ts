/** What to do with a dead letter. Pure. */

/** A lane as its source has it. Instants in milliseconds since 1970, by the source's clock. */
export interface LaneLook {
  readonly paused: boolean;
  readonly failures: number;
  /** Of the last run that went well. */
  readonly runFinishedAtMs: number | undefined;
  readonly deadLetterAtMs: number | undefined;
}

export type LetterPlan =
  /** The lane has run well since. */
  | { readonly action: 'done' }
  /** Kick the lane, and look again after the delay. */
  | {
      readonly action: 'retry';
      readonly kick: boolean;
      readonly delaySeconds: number;
      /** Nobody was told yet that the lane fails. */
      readonly announce: boolean;
    };

export interface Letter {
  /** When the kick became a dead letter: milliseconds since 1970, by SQS's clock. */
  readonly sentAtMs: number;
}

const LEAST_DELAY_SECONDS = 60;

/** A database that is back again is noticed within a quarter of an hour by this alone; the sweep and changes kick besides. */
const GREATEST_DELAY_SECONDS = 900;

/**
 * Waits as long as the letter is old, so every try doubles its age, within bounds. Receive counts would do as well, but SQS does not
 * say whether a dead letter's begin anew; its time of sending does, in a FIFO queue. What was told is known from the source; if
 * that says nothing, a letter younger than the shortest delay is received for the first time.
 *
 * @param lane undefined if its source cannot be asked
 */
export function planLetter({ sentAtMs }: Letter, lane: LaneLook | undefined, nowMs: number): LetterPlan {
  if (lane !== undefined && isWellSince(lane, sentAtMs)) return { action: 'done' };
  const ageSeconds = Math.floor((nowMs - sentAtMs) / 1000);
  return {
    action: 'retry',
    kick: lane?.paused !== true,
    delaySeconds: Math.min(GREATEST_DELAY_SECONDS, Math.max(LEAST_DELAY_SECONDS, ageSeconds)),
    announce: lane === undefined ? ageSeconds < LEAST_DELAY_SECONDS : lane.deadLetterAtMs === undefined,
  };
}

/** Clocks that differ by seconds may call a lane well too early; then only this letter is gone, and the sweep still kicks. */
function isWellSince({ failures, runFinishedAtMs, deadLetterAtMs }: LaneLook, sinceMs: number): boolean {
  return (
    failures === 0 &&
    deadLetterAtMs === undefined &&
    runFinishedAtMs !== undefined &&
    runFinishedAtMs > sinceMs
  );
}

/** SQS deletes after fourteen days; a letter this old is written anew. */
const RENEW_AFTER_MS = 7 * 24 * 3_600_000;

export function mustRenew({ sentAtMs }: Letter, nowMs: number): boolean {
  return nowMs - sentAtMs > RENEW_AFTER_MS;
}
