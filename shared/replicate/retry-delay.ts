/** How long something that failed waits before it is tried again: doubling, bounded. Pure. */

const FIRST_SECONDS = 1;

/** A target that comes back is noticed within this time. */
const LONGEST_SECONDS = 60;

/** @param attempts how often it has failed in a row, from 1 */
export function retryDelaySeconds(attempts: number): number {
  return Math.min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** Math.min(attempts - 1, 30));
}
