/**
 * The first copy of a large table into an empty indexed one, against one COPY piped into another as everybody writes it, which
 * is as text. The same in binary is for information: ours uses that where the columns' types allow it, as they do here.
 */
import { startBenchDatabases } from './support/databases.ts';
import type { RowFormat } from '../shared/targets/target.ts';
import type { Bench } from './bench.ts';
import { startFleetProcess } from './support/fleet-process.ts';

const ROWS = 5_000_000;

const SCHEMA = ['ours', 'theirs']
  .map(
    (name) => `
      create table public.${name} (id bigint primary key, kind integer not null, name text not null, changed timestamptz not null);
      create index on public.${name} (kind);`,
  )
  .join('');

export const bench: Bench = {
  title: 'first copy of 5M rows into an empty indexed table, against one COPY piped into another',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    schema: SCHEMA,
    tables: ['public.ours'],
    copy: 'if-empty',
  });
  const { source, target } = databases;
  await source.script(
    `insert into public.ours
     select i, i % 1000, md5(i::text) || md5((i + 1)::text), now() from generate_series(1, ${ROWS}) i`,
  );
  await source.script('vacuum analyze public.ours');
  await source.script('checkpoint');

  const pipedSeconds = async (format: RowFormat): Promise<number> => {
    const startedAtMs = performance.now();
    await target.copyIn(
      `copy public.theirs from stdin (format ${format})`,
      source.copyOut(`copy public.ours to stdout (format ${format})`),
    );
    const seconds = (performance.now() - startedAtMs) / 1000;
    await target.script('truncate public.theirs');
    await target.script('checkpoint');
    return seconds;
  };
  const theirs = await pipedSeconds('text');
  const theirsInBinary = await pipedSeconds('binary');

  await databases.apply();
  const ourStartMs = performance.now();
  const fleet = await startFleetProcess(databases.config);
  await databases.level();
  const ours = (performance.now() - ourStartMs) / 1000;
  await databases.expectEqual('public.ours');
  report({ name: 'ours', value: ROWS / ours, unit: 'rows/s' });
  report({ name: 'COPY into COPY', value: ROWS / theirs, unit: 'rows/s' });
  report({
    name: 'ours ÷ COPY',
    value: theirs / ours,
    unit: '×',
    bound: { sense: 'at least', limit: 0.7, aim: 0.9 },
  });
  report({ name: 'ours ÷ COPY in binary', value: theirsInBinary / ours, unit: '×' });
  report({
    name: 'memory beyond Node',
    value: await fleet.stop(),
    unit: 'MiB',
    bound: { sense: 'at most', limit: 256, aim: 128 },
  });
  return { rows: ROWS };
}
