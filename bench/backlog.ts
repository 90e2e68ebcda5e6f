/** Deltas of very many single-row transactions waiting for a lane that was away: how long until they have arrived. */
import { startBenchDatabases } from './support/databases.ts';
import type { Bench } from './bench.ts';
import { startFleetProcess } from './support/fleet-process.ts';

const SMALL = 1_000_000;
const LARGE = 5_000_000;

const SCHEMA = `create table public.ours (id bigint primary key, kind integer not null, name text not null);
  create index on public.ours (kind);`;

/** One transaction a row, on the server, so that no client slows it down. */
const writeRows = (rows: number): string => `
  do $$ begin
    for i in 1..${rows} loop
      insert into public.ours values (i, i % 1000, md5(i::text));
      commit;
    end loop;
  end $$`;

export const bench: Bench = {
  title: '1M and 5M single-row transactions waiting for a lane that was away',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  const small = await drain(SMALL);
  report({
    name: '1M transactions',
    value: small.seconds,
    unit: 's',
    bound: { sense: 'at most', limit: 25, aim: 15 },
  });
  const large = await drain(LARGE);
  report({ name: '5M transactions', value: large.seconds, unit: 's' });
  report({
    name: '5M ÷ 1M',
    value: large.seconds / small.seconds,
    unit: '×',
    bound: { sense: 'at most', limit: 5.5, aim: 5 },
  });
  report({
    name: 'memory',
    value: Math.max(small.memory, large.memory),
    unit: 'MiB',
    bound: { sense: 'at most', limit: 256, aim: 128 },
  });
  return { small: SMALL, large: LARGE };
}

async function drain(rows: number): Promise<{ readonly seconds: number; readonly memory: number }> {
  await using databases = await startBenchDatabases({
    schema: SCHEMA,
    tables: ['public.ours'],
    copy: 'never',
  });
  await databases.apply();
  await databases.source.script(writeRows(rows));
  await databases.source.script('analyze');
  const startedAtMs = performance.now();
  const fleet = await startFleetProcess(databases.config);
  await databases.level();
  const seconds = (performance.now() - startedAtMs) / 1000;
  await databases.expectEqual('public.ours');
  return { seconds, memory: await fleet.stop() };
}
