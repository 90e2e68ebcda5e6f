/**
 * How long to wait before trying again: a failed lane's kick (whole seconds, set as the message's visibility), and a
 * request that the queue did not take (milliseconds, with full jitter).
 */
import type { Retry } from '../errors/codes.ts';

/** A database that is back again is noticed within a minute at the latest. */
export const MAX_RETRY_DELAY_SECONDS = 60;

/** First delays. `now` is for a lane that is busy: the other run usually ends within the second. */
const FIRST_DELAY_SECONDS: Readonly<Record<Retry, number>> = { now: 1, later: 2, never: 2 };

/**
 * Doubles with every failure, so a lane waits about as long as it has been failing, and never longer than
 * MAX_RETRY_DELAY_SECONDS.
 * @param receiveCount how often the message was received, this time included; at least 1
 */
export function planRetryDelaySeconds(receiveCount: number, retry: Retry): number {
  const failures = Math.max(1, Number.isSafeInteger(receiveCount) ? receiveCount : 1);
  // 2 ** 30 is far beyond the limit already; a greater exponent would only overflow.
  return Math.min(FIRST_DELAY_SECONDS[retry] * 2 ** Math.min(failures - 1, 30), MAX_RETRY_DELAY_SECONDS);
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;

/**
 * Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter").
 * @param attempt how many attempts have failed; at least 1
 * @param random in [0, 1)
 */
export function planBackoffMs(attempt: number, random: number): number {
  return random * Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 30), MAX_BACKOFF_MS);
}
