/**
 * Many rows changed in one transaction, until the target is equal: ours against native logical replication. The bound holds from the
 * source's commit on, with both sides beginning at the commit (`streaming = off`, the default up to Postgres 17). Postgres
 * 18 sends and applies large transactions while they still run: those figures, and all of them from the statement's
 * beginning, are for information.
 */
import type { Bench, Figure } from './bench.ts';
import { type BenchDatabases, startBenchDatabases } from './support/databases.ts';
import { startFleetProcess } from './support/fleet-process.ts';
import { type Streaming, subscribe, unsubscribe, untilCaughtUp } from './support/native.ts';

export const bench: Bench = {
  title: '1M rows inserted, updated, deleted in one transaction each, against native logical replication',
  run,
};

const ROWS = 1_000_000;

const SCHEMA = ['ours', 'theirs']
  .map(
    (name) => `
      create table public.${name} (id bigint primary key, kind integer not null, name text not null, changed timestamptz not null);
      create index on public.${name} (kind);`,
  )
  .join('');

const STEPS = {
  inserts: {
    sql: (table: string) =>
      `insert into ${table} select i, i % 1000, md5(i::text) || md5((i + 1)::text), now() from generate_series(1, ${ROWS}) i`,
    bound: { limit: 1.0, aim: 1.3 },
  },
  updates: {
    sql: (table: string) => `update ${table} set kind = kind + 1, name = reverse(name), changed = now()`,
    bound: { limit: 1.5, aim: 2 },
  },
  deletes: { sql: (table: string) => `delete from ${table}`, bound: { limit: 0.9, aim: 1.2 } },
} as const;

type StepName = keyof typeof STEPS;
const STEP_NAMES = Object.keys(STEPS) as readonly StepName[];

interface Times {
  /** The statement on the source, capture included. */
  readonly statementSeconds: number;
  /** From its commit until the target is equal. */
  readonly arrivalSeconds: number;
}

type Round = Readonly<Record<StepName, Times>>;

async function run(report: (figure: Figure) => void): ReturnType<Bench['run']> {
  await using databases = await startBenchDatabases({
    schema: SCHEMA,
    tables: ['public.ours'],
    copy: 'never',
  });
  await databases.apply();
  const native = await nativeRound(databases, 'off');
  const streaming = await nativeRound(databases, 'parallel');
  const fleet = await startFleetProcess(databases.config);
  const ours = await round(databases, 'public.ours', () => databases.level());
  const memory = await fleet.stop();

  for (const name of STEP_NAMES) {
    report({ name: `${name}.ours`, value: ROWS / ours[name].arrivalSeconds, unit: 'rows/s' });
    report({ name: `${name}.native`, value: ROWS / native[name].arrivalSeconds, unit: 'rows/s' });
    report({
      name: `${name}.ratio`,
      value: native[name].arrivalSeconds / ours[name].arrivalSeconds,
      unit: '×',
      bound: { sense: 'at least', ...STEPS[name].bound },
    });
    report({
      name: `${name}.ratio.from-statement`,
      value: total(native[name]) / total(ours[name]),
      unit: '×',
    });
    report({
      name: `${name}.ratio.streaming`,
      value: streaming[name].arrivalSeconds / ours[name].arrivalSeconds,
      unit: '×',
    });
    report({
      name: `${name}.ratio.streaming.from-statement`,
      value: total(streaming[name]) / total(ours[name]),
      unit: '×',
    });
  }
  report({ name: 'memory', value: memory, unit: 'MiB', bound: { sense: 'at most', limit: 256, aim: 128 } });
  return { rows: ROWS, postgres: databases.source.serverVersion };
}

async function nativeRound(databases: BenchDatabases, streaming: Streaming): Promise<Round> {
  await subscribe(databases, 'public.theirs', streaming);
  const times = await round(databases, 'public.theirs', () => untilCaughtUp(databases));
  await unsubscribe(databases);
  return times;
}

async function round(
  databases: BenchDatabases,
  table: string,
  arrival: () => Promise<number>,
): Promise<Round> {
  const times: Partial<Record<StepName, Times>> = {};
  for (const name of STEP_NAMES) {
    const startedAtMs = performance.now();
    await databases.source.script(STEPS[name].sql(table));
    const statementSeconds = (performance.now() - startedAtMs) / 1000;
    times[name] = { statementSeconds, arrivalSeconds: await arrival() };
    await databases.expectEqual(table);
    await tidy(databases, table);
  }
  return times as Round;
}

/** Each step begins in the state in which autovacuum would leave the tables. */
async function tidy({ source, target }: BenchDatabases, table: string): Promise<void> {
  for (const db of [source, target]) {
    await db.script(`vacuum analyze ${table}`);
    await db.script('checkpoint');
  }
}

function total({ statementSeconds, arrivalSeconds }: Times): number {
  return statementSeconds + arrivalSeconds;
}
