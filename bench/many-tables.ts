/** Thousands of tables in one sync: what they cost when each is small and hardly any of them changes. */
import { readLook, prepareToLook, UNREAD } from '../notifier/look.ts';
import { ConnectionCache } from '../shared/replicate/connection-cache.ts';
import { resolveUrl } from '../shared/config/secrets.ts';
import { runLane } from '../shared/replicate/run-lane.ts';
import { silentLog } from '../shared/telemetry/log.ts';
import { type Bench, median } from './bench.ts';
import { type BenchDatabases, startBenchDatabases } from './support/databases.ts';

const FEW = 50;
const MANY = Number(process.env['BUCARDO_BENCH_TABLES'] ?? 5_000);
const ROWS = 10;
const ROUNDS = 15;

export const bench: Bench = {
  title: `${MANY} small tables in one sync, against ${FEW}: apply, first copy, idle look, one change`,
  run,
};

interface Seconds {
  readonly apply: number;
  readonly copy: number;
  readonly look: number;
  readonly change: number;
}

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  const few = await measure(FEW);
  const many = await measure(MANY);
  const limits = { apply: 100, copy: 100, look: 3, change: 3 } as const;
  for (const what of ['apply', 'copy', 'look', 'change'] as const) {
    report({ name: `${what}, ${FEW} tables`, value: few[what], unit: 's' });
    report({ name: `${what}, ${MANY} tables`, value: many[what], unit: 's' });
    report({
      name: `${what}, ${MANY} ÷ ${FEW}`,
      value: many[what] / few[what],
      unit: '×',
      bound: { sense: 'at most', limit: limits[what], aim: limits[what] },
    });
  }
  return { few: FEW, many: MANY, rowsPerTable: ROWS };
}

async function measure(count: number): Promise<Seconds> {
  const names = Array.from({ length: count }, (_, n) => `public.t${n}`);
  await using databases = await startBenchDatabases({ schema: '', tables: ['public.*'], copy: 'if-empty' });
  const { source, target } = databases;
  for (const name of names) {
    const table = `create table ${name} (id int primary key, note text not null)`;
    await source.script(`${table}; insert into ${name} select n, 'one' from generate_series(1, ${ROWS}) n`);
    await target.script(table);
  }
  const connections = new ConnectionCache();
  const replicate = async (): Promise<void> => {
    const deadlineMs = Date.now() + 890_000;
    const context = { fleet: databases.fleet, resolveUrl, log: silentLog, deadlineMs, connections };
    await runLane(databases.lane, context);
  };
  const apply = await timed(() => databases.apply());
  const copy = await timed(replicate);
  await databases.expectEqual(names.at(-1) ?? '');
  const look = await measureLook(databases);
  const changes: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await source.run(`update ${names[(round * 37) % count]} set note = $1 where id = 1`, [`round ${round}`]);
    changes.push(await timed(replicate));
  }
  await connections.close();
  return { apply, copy, look, change: median(changes) };
}

/** On a session of its own, as the notifier has it, and with nothing changed since the last look. */
async function measureLook({ source, fleet }: BenchDatabases): Promise<number> {
  const syncs = [...fleet.syncs.keys()];
  await prepareToLook(source, 60_000);
  let { registry, snapshot } = await readLook(source, { syncs, registry: UNREAD, seen: undefined });
  const looks: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    looks.push(
      await timed(async () => {
        ({ registry, snapshot } = await readLook(source, { syncs, registry, seen: snapshot }));
      }),
    );
  }
  await source.script('reset all');
  return median(looks);
}

async function timed(body: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  await body();
  return (performance.now() - startedAtMs) / 1000;
}
