/** How long something that failed waits before it is tried again: doubling, bounded. Pure. */
import type { ErrorCode } from '../errors/codes.ts';

const FIRST_SECONDS = 1;

/** A target that comes back is noticed within this time. */
const LONGEST_SECONDS = 60;

/** @param attempts how often it has failed in a row, from 1 */
export function retryDelaySeconds(attempts: number): number {
  return Math.min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** Math.min(attempts - 1, 30));
}

/** A lock lasts as long as it lasts, whatever was tried before. */
const LOCKED_SECONDS = 2;

/** How long a relation is held that failed with an error of this code. @param attempts from 1 */
export function holdSeconds(code: ErrorCode, attempts: number): number {
  return code === 'BUC-TABLE-LOCKED' ? LOCKED_SECONDS : retryDelaySeconds(attempts);
}
