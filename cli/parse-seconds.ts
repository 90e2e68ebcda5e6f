/** Option values in seconds. */
import { InvalidArgumentError } from 'commander';

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0)
    throw new InvalidArgumentError('not a positive number of seconds.');
  return seconds;
}
