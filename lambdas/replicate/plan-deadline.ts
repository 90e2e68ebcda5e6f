/** When a run must have ended, so that the function can still report. Pure. */

/**
 * Left for what follows a run: the kick that goes on, the message's visibility, log lines. A queue that answers slowly
 * takes seconds of it.
 */
const RESERVE_MS = 10_000;

/** A function with a short time-out cannot spare so much: a fifth of its time then. */
const RESERVE_SHARE = 0.2;

/** @returns milliseconds since 1970 */
export function planDeadlineMs(nowMs: number, remainingMs: number): number {
  return nowMs + remainingMs - Math.min(RESERVE_MS, remainingMs * RESERVE_SHARE);
}
