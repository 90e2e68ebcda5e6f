/** One transaction over three tables that no function can bring in its time: how long until it has arrived in parts. */
import { startBenchDatabases } from './support/databases.ts';
import type { Bench } from './bench.ts';
import { runFunctions } from './support/functions.ts';

const ROWS = Number(process.env['BUCARDO_BENCH_ROWS'] ?? 5_000_000);
const LIMITS = { seconds: 60, megabytes: 512 };

const TABLES = ['orders', 'items', 'events'] as const;
const SCHEMA = TABLES.map(
  (name) => `create table public.${name} (id bigint primary key, kind integer not null, name text not null);
    create index on public.${name} (kind)`,
).join('; ');

const insert = (name: string, rows: number): string =>
  `insert into public.${name} select n, n % 1000, md5(n::text) from generate_series(1, ${rows}) n`;

export const bench: Bench = {
  title: 'one transaction of 5M rows, by functions with 60 s and 512 MB',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    schema: SCHEMA,
    tables: TABLES.map((name) => `public.${name}`),
    copy: 'never',
  });
  await databases.apply();
  const shares = [0.5, 0.3, 0.2].map((share) => Math.round(ROWS * share));
  await databases.source.script(
    `begin; ${TABLES.map((name, index) => insert(name, shares[index] ?? 0)).join('; ')}; commit; analyze`,
  );
  const end = await runFunctions(databases.config, LIMITS, 100);
  for (const name of TABLES) await databases.expectEqual(`public.${name}`);
  report({ name: 'seconds', value: end.seconds, unit: 's' });
  report({ name: 'rows per second', value: ROWS / end.seconds, unit: 'rows/s' });
  report({ name: 'functions', value: end.invocations, unit: '' });
  report({ name: 'functions killed', value: end.killed, unit: '' });
  report({
    name: 'memory, all of a process',
    value: end.peakMegabytes,
    unit: 'MiB',
    bound: { sense: 'at most', limit: LIMITS.megabytes, aim: 256 },
  });
  return { rows: ROWS, ...LIMITS };
}
