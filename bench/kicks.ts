/** How many kicks changes cost when they come in bursts on fifty lanes at once: what the notifier coalesces, SQS need not carry. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startLocalFleet } from '../cli/local-fleet.ts';
import { resolveUrl } from '../shared/config/secrets.ts';
import { connect } from '../shared/postgres/connection.ts';
import type { Log } from '../shared/telemetry/log.ts';
import type { Bench } from './bench.ts';
import { startBenchDatabases } from './support/databases.ts';

const LANES = 50;
const WRITERS = 4;
const BURSTS = 10;
const BURST_MS = 2_000;
const PAUSE_MS = 1_000;

/** A sweep would kick besides the notifier. */
const NEVER_MS = 2 ** 31 - 1;

const tables = Array.from({ length: LANES }, (_, lane) => `public.t${lane}`);

export const bench: Bench = {
  title: 'bursts of changes on fifty lanes at once: how many kicks are sent for each change',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    schema: tables
      .map((table) => `create table ${table} (id bigint primary key, note text not null);`)
      .join('\n'),
    tables,
    apart: true,
    copy: 'never',
  });
  await databases.apply();
  let kicks = 0;
  const log: Log = (_level, event, fields) => {
    if (event === 'notifier.kicks.sent') kicks += Number(fields?.['kicks']);
  };
  const local = await startLocalFleet({
    fleet: databases.fleet,
    resolveUrl,
    log,
    sweepIntervalMs: NEVER_MS,
  });
  await local.notifier.ready;
  // Whoever begins kicks every lane.
  kicks = 0;
  let changes = 0;
  for (let burst = 0; burst < BURSTS; burst += 1) {
    const url = databases.servers.source.url();
    const writers = Array.from({ length: WRITERS }, (_, writer) => write(url, burst, writer));
    changes += (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    await sleep(PAUSE_MS);
  }
  await databases.level();
  for (const table of tables) await databases.expectEqual(table);
  await local.stop();
  report({ name: 'changes', value: changes, unit: 'transactions of one row' });
  report({ name: 'kicks', value: kicks, unit: 'messages' });
  report({
    name: 'kicks for each change',
    value: kicks / changes,
    unit: '',
    bound: { sense: 'at most', limit: 0.2, aim: 0.1 },
  });
  report({
    name: 'kicks for each lane and second of a burst',
    value: kicks / LANES / BURSTS / (BURST_MS / 1000),
    unit: '',
  });
  return { lanes: LANES, writers: WRITERS, bursts: BURSTS, burstSeconds: BURST_MS / 1000 };
}

/** Single-row transactions on all tables in turn. Returns how many. */
async function write(url: string, burst: number, writer: number): Promise<number> {
  const db = await connect({ database: 'source', url, purpose: 'benchmark writer' });
  const untilMs = performance.now() + BURST_MS;
  let count = 0;
  for (; performance.now() < untilMs; count += 1) {
    const table = tables[(count + writer * 13) % LANES] ?? '';
    const id = (burst * WRITERS + writer) * 1_000_000 + count;
    await db.runPrepared(`insert into ${table} values ($1, 'x')`, [id]);
  }
  await db.close();
  return count;
}
