/** One row on an idle system: from the source's commit until the target shows it, ours against native logical replication. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchDatabases, startBenchDatabases } from './support/databases.ts';
import type { Bench } from './bench.ts';
import { startFleetProcess } from './support/fleet-process.ts';
import { subscribe, unsubscribe } from './support/native.ts';

const SAMPLES = 200;
const IDLE_MS = 150;

/** The target tells at commit, also of replicated writes, so that nobody has to poll. */
const SCHEMA = `
  create table public.ours (id bigint primary key, v text);
  create table public.theirs (id bigint primary key, v text);
  create function public.tell() returns trigger language plpgsql as
    $$ begin perform pg_notify('arrived', tg_table_name || ' ' || new.id); return null; end $$;`;

const TELL = ['ours', 'theirs']
  .map(
    (name) => `
      create trigger tell after insert on public.${name} for each row execute function public.tell();
      alter table public.${name} enable always trigger tell;`,
  )
  .join('');

export const bench: Bench = {
  title: 'one row on an idle system until the target shows it, against native logical replication',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  return await measureLatency(report, {}, { p50: [60, 30], p95: [120, 60] });
}

/** Each bound is a limit and an aim, in milliseconds. */
interface LatencyBounds {
  readonly p50: readonly [number, number];
  readonly p95: readonly [number, number];
}

/** @param settings of both servers */
export async function measureLatency(
  report: Parameters<Bench['run']>[0],
  settings: Readonly<Record<string, string>>,
  bounds: LatencyBounds,
): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    settings,
    schema: SCHEMA,
    tables: ['public.ours'],
    copy: 'never',
  });
  await databases.target.script(`${TELL}; listen arrived`);
  await databases.apply();
  await subscribe(databases, 'public.theirs', 'off');
  const fleet = await startFleetProcess(databases.config);
  const arrivals = watchArrivals(databases);
  const times: Record<'ours' | 'theirs', number[]> = { ours: [], theirs: [] };
  // The first rows warm connections and plans up, on both sides.
  for (let id = -20; id < SAMPLES; id += 1) {
    for (const table of ['ours', 'theirs'] as const) {
      await sleep(IDLE_MS);
      const arrived = arrivals(`${table} ${id}`);
      await databases.source.script(`insert into public.${table} values (${id}, 'x')`);
      const committedAtMs = performance.now();
      const ms = Math.max(0, (await arrived) - committedAtMs);
      if (id >= 0) times[table].push(ms);
    }
  }
  await unsubscribe(databases);
  const memory = await fleet.stop();
  report({
    name: 'ours, p50',
    value: percentile(times.ours, 0.5),
    unit: 'ms',
    bound: { sense: 'at most', limit: bounds.p50[0], aim: bounds.p50[1] },
  });
  report({
    name: 'ours, p95',
    value: percentile(times.ours, 0.95),
    unit: 'ms',
    bound: { sense: 'at most', limit: bounds.p95[0], aim: bounds.p95[1] },
  });
  report({ name: 'native, p50', value: percentile(times.theirs, 0.5), unit: 'ms' });
  report({ name: 'native, p95', value: percentile(times.theirs, 0.95), unit: 'ms' });
  report({
    name: 'memory beyond Node',
    value: memory,
    unit: 'MiB',
    bound: { sense: 'at most', limit: 256, aim: 128 },
  });
  return { samples: SAMPLES, idleMs: IDLE_MS };
}

/** Resolves a promise per awaited payload with the moment of its arrival. */
function watchArrivals({ target }: BenchDatabases): (payload: string) => Promise<number> {
  const waiting = new Map<string, (atMs: number) => void>();
  target.onNotification((_channel, payload) => {
    waiting.get(payload)?.(performance.now());
    waiting.delete(payload);
  });
  return (payload) => new Promise((resolve) => waiting.set(payload, resolve));
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
