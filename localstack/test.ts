/** `npm run localstack:test`: a row written at the source is waited for at the target. Exit status 0 if it arrives. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { withConnection } from '../shared/postgres/connection.ts';
import { runProgram } from './run-program.ts';
import { requireRunning } from './state.ts';

/** The first run of a function starts its process. */
const PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 20;

await runProgram(async () => {
  const { sourceUrl, targetUrl } = requireRunning();
  const item = randomUUID();
  await withConnection({ database: 'target', url: targetUrl, purpose: 'test' }, async (target) => {
    await withConnection({ database: 'source', url: sourceUrl, purpose: 'test' }, (source) =>
      source.run('insert into public.orders (item) values ($1)', [item]),
    );
    const writtenAtMs = performance.now();
    const sinceMs = (): number => Math.round(performance.now() - writtenAtMs);
    while ((await target.rows('select from public.orders where item = $1', [item])).length === 0) {
      if (sinceMs() > PATIENCE_MS) throw new Error(`The row did not arrive within ${sinceMs()} ms.`);
      await sleep(LOOK_EVERY_MS);
    }
    console.log(`The row was at the target after ${sinceMs()} ms.`);
  });
});
