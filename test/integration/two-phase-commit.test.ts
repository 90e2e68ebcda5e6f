/** Two-phase commit at the source: by default nothing of the application fails for us, and its changes arrive. */
import { afterEach, expect, inject, test } from 'vitest';
import { type Notifier, startNotifier } from '../../notifier/start-notifier.ts';
import { purge } from '../../shared/capture/purge.ts';
import { startPostgres } from '../../shared/local/postgres-server.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { applySource, deltasOf, sourceDatabase, sourceSync, withSource } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';
import { fleetOf, RecordingQueue } from '../support/notifying.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLES = `
  create table t (id int primary key, note text);
  create table r (id int primary key, note text);
  create table p (id int primary key, note text) partition by range (id);
  create table p0 partition of p for values from (0) to (1000000)`;
const SYNCS = [
  sourceSync({ tables: ['public.t', 'public.p'] }),
  sourceSync({ sync: 'rows', tables: ['public.r'], capture: 'row', targets: ['rows'] }),
];
const FLEET = fleetOf(
  { east: { wake: 'auto' } },
  { orders: { source: 'east', targets: ['reports'] }, rows: { source: 'east', targets: ['rows'] } },
);

/** Every kind of statement that a trigger of ours sees. */
const STATEMENTS = ['t', 'r', 'p'].flatMap((table) => [
  `insert into ${table} values (100, 'x')`,
  `update ${table} set note = 'y'`,
  `update ${table} set id = id + 1000`,
  `delete from ${table}`,
  `truncate ${table}`,
]);

const running: Notifier[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((notifier) => notifier.stop()));
});

async function notify(url: string, queue: RecordingQueue): Promise<Notifier> {
  const notifier = await startNotifier({
    fleet: FLEET,
    resolveUrl: async () => url,
    queue,
    log: silentLog,
    timing: { heartbeatMs: 600_000 },
  });
  running.push(notifier);
  await notifier.ready;
  return notifier;
}

let names = 0;
async function prepare(app: Connection, sql: string): Promise<string> {
  names += 1;
  const name = `two_phase_${process.pid}_${names}`;
  await app.script(`begin; ${sql}; prepare transaction '${name}'`);
  return name;
}

test('every captured statement can be prepared by default, armed or not, and its changes are kicked for', async () => {
  const database = await createDatabase(TABLES);
  await applySource(database.url, SYNCS, sourceDatabase('auto'));
  const app = await database.app();
  const queue = new RecordingQueue();
  await notify(database.url, queue);
  for (const flag of [1, 0]) {
    for (const sql of STATEMENTS) {
      await app.script(
        `insert into t values (1); insert into r values (1); insert into p values (1); select setval('bucardo.wake', ${flag})`,
      );
      const name = await prepare(app, sql);
      await waitFor(() => queue.kicked('orders/reports'));
      queue.forget();
      await app.run(`commit prepared '${name}'`);
      await waitFor(() => queue.kicked(sql.includes(' r') ? 'rows/rows' : 'orders/reports'), 20_000, sql);
      await app.script(`delete from t; delete from r; delete from p`);
    }
  }
});

test('a change of the setting is noticed: by the triggers at once, by the notifier when it connects again', async () => {
  const server = await startPostgres({ major: inject('serverMajor') });
  try {
    await withConnection({ database: 'east', url: server.url(), purpose: 'test' }, (db) =>
      db.script(`set search_path to public; ${TABLES}`),
    );
    await applySource(server.url(), SYNCS, sourceDatabase('auto'));
    const queue = new RecordingQueue();
    const notifier = await notify(server.url(), queue);
    const session = (body: (db: Connection) => Promise<void>) =>
      withConnection({ database: 'east', url: server.url(), purpose: 'test' }, async (db) => {
        await db.script(`set search_path to public`);
        await body(db);
      });
    const state = () => notifier.health().sources['east']?.state;
    let id = 0;
    for (const preparable of [0, 10, 0]) {
      await server.stop();
      await server.start({ max_prepared_transactions: String(preparable) });
      // Whoever listens sleeps; whoever polls never does.
      await waitFor(
        () => (preparable === 0 ? state() === 'idle' : state() === 'busy'),
        20_000,
        'a connection',
      );
      queue.forget();
      await session(async (db) => {
        id += 1;
        const sql = `insert into t values (${id})`;
        if (preparable === 0) {
          await db.run(sql);
          return;
        }
        await db.script(`select setval('bucardo.wake', 1)`);
        const name = await prepare(db, sql);
        await db.run(`commit prepared '${name}'`);
      });
      await waitFor(() => queue.kicked('orders/reports'), 20_000, 'a kick');
    }
  } finally {
    await Promise.all(running.splice(0).map((notifier) => notifier.stop()));
    await server.destroy();
  }
});

test("with wake: 'notify' an armed source refuses to prepare, which is why that is not the default", async () => {
  const database = await createDatabase(TABLES);
  await applySource(database.url, SYNCS, sourceDatabase('notify'));
  const app = await database.app();
  await expect(prepare(app, `insert into t values (1)`)).rejects.toMatchObject({ sqlstate: '0A000' });
  await app.script('rollback');
});

test('a transaction that stays prepared holds up nothing but its own rows', async () => {
  const fixture = await createLaneFixture({ schema: `create table t (id int primary key, note text)` });
  await fixture.source.script(`insert into t select i, 'old' from generate_series(1, 10) i`);
  await fixture.run();
  const name = await prepare(
    fixture.source,
    `insert into t values (100, 'prepared'); update t set note = 'prepared' where id = 1`,
  );
  for (let round = 1; round <= 3; round += 1) {
    await fixture.source.script(
      `insert into t values (${200 + round}, 'later'); update t set note = 'round ${round}' where id = 2`,
    );
    await fixture.run();
    await fixture.expectEqual();
  }
  const settings = { retentionSeconds: 0, log: silentLog };
  await withSource(fixture.sourceUrl, (db) => purge(db, settings));
  await withSource(fixture.sourceUrl, (db) => purge(db, settings));
  expect(await deltasOf(fixture.source, 'delta_public_t')).toEqual([]);
  await fixture.source.run(`commit prepared '${name}'`);
  expect((await deltasOf(fixture.source, 'delta_public_t')).toSorted()).toEqual(['1', '100']);
  await withSource(fixture.sourceUrl, (db) => purge(db, settings));
  expect((await deltasOf(fixture.source, 'delta_public_t')).toSorted()).toEqual(['1', '100']);
  await fixture.run();
  await fixture.expectEqual();
});
