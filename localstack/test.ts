/** `npm run localstack:test`: a row written at the source is waited for at the target. Exit status 0 if it arrives. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { withConnection } from '../shared/postgres/connection.ts';
import { requireState } from './state.ts';

/** The first run of a function starts its process. */
const PATIENCE_MS = 60_000;

const { sourceUrl, targetUrl } = requireState();
const item = randomUUID();
await withConnection({ database: 'source', url: sourceUrl, purpose: 'test' }, (db) =>
  db.run('insert into public.orders (item) values ($1)', [item]),
);
const writtenAtMs = performance.now();
const arrived = await withConnection({ database: 'target', url: targetUrl, purpose: 'test' }, async (db) => {
  while (performance.now() - writtenAtMs < PATIENCE_MS) {
    const rows = await db.rows('select from public.orders where item = $1', [item]);
    if (rows.length > 0) return true;
    await sleep(20);
  }
  return false;
});
const ms = Math.round(performance.now() - writtenAtMs);
console.log(
  arrived ? `The row was at the target after ${ms} ms.` : `The row did not arrive within ${ms} ms.`,
);
process.exitCode = arrived ? 0 : 1;
