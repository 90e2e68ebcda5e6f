/**
 * What capture costs the application: single-row inserts by 16 clients, and one insert of 200,000 rows, without a trigger, with
 * ours, and with Bucardo's pair (a row trigger for the delta, a statement trigger for NOTIFY). All variants take turns on one
 * server with a production server's durability; a figure is the median of its rounds.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyPlan } from '../shared/capture/apply-plan.ts';
import { planSource } from '../shared/capture/plan-source.ts';
import { startPostgres } from '../shared/local/postgres-server.ts';
import { type Connection, connect, withConnection } from '../shared/postgres/connection.ts';
import { silentLog } from '../shared/telemetry/log.ts';
import { type Bench, median } from './bench.ts';

const CLIENTS = 16;
/** Many short rounds rather than few long ones: what else the machine does then falls on all variants alike. */
const TPS_ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 24);
const TPS_SECONDS = 1;
/** Statements in each round of the measure of processor time; the best of twice as many rounds counts. */
const CPU_STATEMENTS = 300;
const BULK_ROUNDS = Math.ceil(TPS_ROUNDS / 3);
const BULK_ROWS = 200_000;

const TABLE = `create table item (id bigint generated always as identity primary key, quantity int, note text)`;
const INSERT = `insert into public.item (quantity, note) values (1, 'a note of some thirty characters')`;
const BULK = {
  insert: `insert into public.item (quantity, note)
    select i, 'a note of some thirty characters' from generate_series(1, ${BULK_ROWS}) i`,
  update: `update public.item set quantity = quantity + 1`,
  delete: `delete from public.item`,
};

/** From the description of what Bucardo 5.6 installs: two indexes, transaction start as time, NOTIFY at every statement. */
const BUCARDO = `
  create schema bucardo;
  create table bucardo.delta_public_item (id bigint, txntime timestamptz not null default now());
  create index dex1_public_item on bucardo.delta_public_item (txntime);
  create index dex2_public_item on bucardo.delta_public_item (id);
  create function bucardo.delta_public_item() returns trigger language plpgsql security definer as $$
  begin
    if tg_op = 'INSERT' then
      insert into bucardo.delta_public_item values (new.id);
    elsif tg_op = 'UPDATE' then
      insert into bucardo.delta_public_item values (old.id);
      if old.id <> new.id then
        insert into bucardo.delta_public_item values (new.id);
      end if;
    else
      insert into bucardo.delta_public_item values (old.id);
    end if;
    return null;
  end $$;
  create function bucardo.bucardo_kick_sync() returns trigger language plpgsql as $$
  begin
    execute $nn$notify bucardo, 'kick_sync_sync'$nn$;
    return new;
  end $$;
  create trigger bucardo_delta after insert or update or delete on public.item
    for each row execute function bucardo.delta_public_item();
  create trigger bucardo_kick_sync after insert or update or delete or truncate on public.item
    for each statement execute function bucardo.bucardo_kick_sync()`;

interface Variant {
  readonly name: string;
  readonly prepare: (db: Connection) => Promise<void>;
}

const VARIANTS: readonly Variant[] = [
  { name: 'bare', prepare: async () => {} },
  { name: 'captured', prepare: install },
  {
    name: 'captured_key_index',
    prepare: async (db) => {
      await install(db);
      await db.script(`create index on bucardo.delta_public_item (id)`);
    },
  },
  { name: 'bucardo', prepare: (db) => db.script(BUCARDO) },
];

export const bench: Bench = {
  title: 'what the triggers cost the application, against none and against Bucardo’s',
  async run(report) {
    await using server = await startPostgres({
      settings: { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', autovacuum: 'off' },
    });
    const url = (name: string) => server.url(name);
    for (const { name, prepare } of VARIANTS) {
      await inDatabase(server.url(), (db) => db.script(`create database ${name}`));
      await inDatabase(url(name), async (db) => {
        await db.script(`set search_path = public; ${TABLE}; set search_path = pg_catalog`);
        await prepare(db);
      });
    }

    const pgbench = findPgbench();
    const tps = await rounds(TPS_ROUNDS, (name) =>
      pgbench === undefined ? nodeTps(url(name)) : pgbenchTps(pgbench, url(name)),
    );
    for (const { name } of VARIANTS)
      report({ name: `insert.tps.${name}`, value: median(at(tps, name)), unit: 'tps' });
    report({
      name: 'insert.tps.loss',
      value: 1 - medianRatio(at(tps, 'captured'), at(tps, 'bare')),
      unit: 'of the tps without trigger',
      bound: { sense: 'at most', limit: 0.25, aim: 0.2 },
    });
    report({
      name: 'insert.tps.loss.bucardo',
      value: 1 - medianRatio(at(tps, 'bucardo'), at(tps, 'bare')),
      unit: 'of the tps without trigger',
    });

    const cpu = await cpuRounds(url);
    const least = (name: string) => Math.min(...at(cpu, name));
    if (cpu.size > 0) {
      for (const { name } of VARIANTS)
        report({ name: `insert.cpu.${name}`, value: least(name), unit: 'µs of the backend' });
      report({
        name: 'insert.cpu.added',
        value: least('captured') - least('bare'),
        unit: 'µs of the backend',
      });
    }

    const bulk = await rounds(BULK_ROUNDS, (name) => inDatabase(url(name), bulkSeconds));
    for (const kind of ['insert', 'update', 'delete'] as const) {
      const seconds = (name: string) => at(bulk, name).map((round) => round[kind]);
      for (const { name } of VARIANTS) {
        report({ name: `bulk.${kind}.${name}`, value: median(seconds(name)), unit: 's' });
      }
      report({
        name: `bulk.${kind}.ratio`,
        value: medianRatio(seconds('captured'), seconds('bare')),
        unit: 'of the time without trigger',
        ...(kind === 'insert' ? { bound: { sense: 'at most', limit: 2, aim: 1.6 } as const } : {}),
      });
    }
    return {
      postgres: server.major,
      client: pgbench === undefined ? 'this process (pgbench was not found)' : 'pgbench',
      clients: CLIENTS,
      tpsRounds: TPS_ROUNDS,
      tpsSecondsPerRound: TPS_SECONDS,
      bulkRounds: BULK_ROUNDS,
      bulkRows: BULK_ROWS,
    };
  },
};

/** As `apply` does it, disarmed as a busy source is. */
async function install(db: Connection): Promise<void> {
  const request = {
    database: { name: 'source', engine: 'postgres', url: '', wake: 'notify' },
    syncs: [
      {
        name: 'items',
        source: 'source',
        targets: ['target'],
        include: [{ schema: 'public', table: 'item', capture: 'auto' }],
        exclude: [],
        schedule: undefined,
        autokick: true,
        copy: 'never',
        batchRows: 100_000,
      },
    ],
  } as const;
  await applyPlan(db, await planSource(db, request), { log: silentLog });
  await db.script(`select setval('bucardo.wake', 0)`);
}

/** Every variant once per round, in random order: what one leaves behind (pages to be written, say) must not always meet the same other. */
async function rounds<Result>(
  count: number,
  measure: (variant: string) => Promise<Result>,
): Promise<ReadonlyMap<string, readonly Result[]>> {
  const results = new Map<string, Result[]>(VARIANTS.map(({ name }) => [name, []]));
  for (let round = 0; round < count; round += 1) {
    const order = VARIANTS.map(({ name }) => ({ name, place: Math.random() }));
    for (const { name } of order.sort((a, b) => a.place - b.place)) {
      results.get(name)?.push(await measure(name));
    }
  }
  return results;
}

/**
 * Processor time of a backend for one single-row insert, in microseconds. It tells what capture costs where commits are fast, and what
 * else the machine does hardly moves it. Linux only; elsewhere there is no figure.
 */
async function cpuRounds(url: (name: string) => string): Promise<ReadonlyMap<string, readonly number[]>> {
  if (!existsSync('/proc/self/schedstat')) return new Map();
  const sessions = new Map<string, { readonly db: Connection; readonly pid: number }>();
  try {
    for (const { name } of VARIANTS) {
      const db = await connect({ database: 'bench', url: url(name), purpose: 'bench' });
      // The wait for the disk is no processor time, but fewer rounds in the same time.
      await db.script('set synchronous_commit = off');
      const { pid } = await db.row<{ pid: number }>('select pg_backend_pid() as pid');
      sessions.set(name, { db, pid });
    }
    return await rounds(TPS_ROUNDS * 2, async (name) => {
      const session = sessions.get(name);
      if (session === undefined) return Number.NaN;
      const before = cpuNanoseconds(session.pid);
      for (let count = 0; count < CPU_STATEMENTS; count += 1) await session.db.runPrepared(INSERT, []);
      return (cpuNanoseconds(session.pid) - before) / CPU_STATEMENTS / 1000;
    });
  } finally {
    for (const { db } of sessions.values()) await db.close();
  }
}

function cpuNanoseconds(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]);
}

function at<Result>(results: ReadonlyMap<string, readonly Result[]>, variant: string): readonly Result[] {
  return results.get(variant) ?? [];
}

/** The median of the ratios within each round, which slow rounds do not move. */
function medianRatio(values: readonly number[], baseline: readonly number[]): number {
  return median(values.map((value, round) => value / (baseline[round] ?? Number.NaN)));
}

function findPgbench(): string | undefined {
  const installed = globSync('/usr/lib/postgresql/*/bin/pgbench').sort().at(-1);
  return [installed, '/usr/bin/pgbench', '/usr/local/bin/pgbench', '/opt/homebrew/bin/pgbench'].find(
    (path) => path !== undefined && existsSync(path),
  );
}

async function pgbenchTps(pgbench: string, url: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-bench-'));
  try {
    const script = join(folder, 'insert.sql');
    writeFileSync(script, `${INSERT};\n`);
    const output = execFileSync(
      pgbench,
      [
        '--no-vacuum',
        '--file',
        script,
        '--client',
        String(CLIENTS),
        '--jobs',
        '2',
        '--time',
        String(TPS_SECONDS),
        url,
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const [, tps] = /^tps = ([\d.]+)/m.exec(output) ?? [];
    if (tps === undefined) throw new Error(`no tps in pgbench's output:\n${output}`);
    return Number(tps);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function nodeTps(url: string): Promise<number> {
  const sessions = await Promise.all(
    Array.from({ length: CLIENTS }, () => connect({ database: 'bench', url, purpose: 'bench' })),
  );
  const untilMs = performance.now() + TPS_SECONDS * 1000;
  const counts = await Promise.all(
    sessions.map(async (session) => {
      let count = 0;
      for (; performance.now() < untilMs; count += 1) await session.script(INSERT);
      return count;
    }),
  );
  await Promise.all(sessions.map((session) => session.close()));
  return counts.reduce((sum, count) => sum + count, 0) / TPS_SECONDS;
}

async function bulkSeconds(db: Connection): Promise<{ insert: number; update: number; delete: number }> {
  await db.script(`truncate public.item`);
  const { there } = await db.row<{ there: boolean }>(
    `select to_regclass('bucardo.delta_public_item') is not null as there`,
  );
  if (there) await db.script(`truncate bucardo.delta_public_item`);
  const seconds = async (sql: string) => {
    await db.script(`checkpoint`);
    const startedAtMs = performance.now();
    await db.script(sql);
    return (performance.now() - startedAtMs) / 1000;
  };
  return {
    insert: await seconds(BULK.insert),
    update: await seconds(BULK.update),
    delete: await seconds(BULK.delete),
  };
}

async function inDatabase<Result>(url: string, body: (db: Connection) => Promise<Result>): Promise<Result> {
  return await withConnection({ database: 'bench', url, purpose: 'bench' }, body);
}
