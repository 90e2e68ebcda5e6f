/** Waiting for a condition with a bound, instead of sleeping and hoping. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves to true as soon as `condition` holds; rejects after `timeoutMs`. */
export async function waitFor(
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 20_000,
  what = 'condition',
): Promise<true> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await condition()) return true;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}`);
    await sleep(10);
  }
}
