/** Four writers as fast as they can while the lane runs: how far it falls behind. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../shared/postgres/connection.ts';
import { readStatus } from '../shared/status/read-status.ts';
import { startBenchDatabases } from './support/databases.ts';
import type { Bench } from './bench.ts';
import { startFleetProcess } from './support/fleet-process.ts';

const WRITERS = 4;
const SECONDS = 60;
const KEYS = 100_000;

const SCHEMA = `create table public.ours (id bigint primary key, kind integer not null, name text not null);
  create index on public.ours (kind);`;

export const bench: Bench = {
  title: 'four writers as fast as they can for a minute: how far the lane falls behind',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    schema: SCHEMA,
    tables: ['public.ours'],
    copy: 'never',
  });
  await databases.apply();
  const fleet = await startFleetProcess(databases.config);
  const untilMs = performance.now() + SECONDS * 1000;
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(databases.servers.source.url(), writer, untilMs),
  );
  const lags: number[] = [];
  while (performance.now() < untilMs) {
    const [lane] = await readStatus(databases.source, [...databases.fleet.syncs.values()]);
    lags.push(lane?.lagSeconds ?? Number.POSITIVE_INFINITY);
    await sleep(200);
  }
  const transactions = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
  const catchUp = await databases.level();
  await databases.expectEqual('public.ours');
  report({ name: 'transactions', value: transactions / SECONDS, unit: 'tps' });
  report({
    name: 'greatest lag',
    value: Math.max(...lags),
    unit: 's',
    bound: { sense: 'at most', limit: 3, aim: 1 },
  });
  report({ name: 'level after the last commit', value: catchUp, unit: 's' });
  report({
    name: 'memory beyond Node',
    value: await fleet.stop(),
    unit: 'MiB',
    bound: { sense: 'at most', limit: 256, aim: 128 },
  });
  return { writers: WRITERS, seconds: SECONDS };
}

/** Single-row transactions over a bounded set of keys: inserts, updates and deletes. Returns how many. */
async function write(url: string, writer: number, untilMs: number): Promise<number> {
  const db = await connect({ database: 'source', url, purpose: 'benchmark writer' });
  let count = 0;
  for (; performance.now() < untilMs; count += 1) {
    const id = writer * KEYS + (count % KEYS);
    await (count % 10 === 9
      ? db.runPrepared('delete from public.ours where id = $1', [id - 5])
      : db.runPrepared(
          `insert into public.ours values ($1, $2, md5($3))
           on conflict (id) do update set kind = excluded.kind, name = excluded.name`,
          [id, count % 1000, String(count)],
        ));
  }
  await db.close();
  return count;
}
