/**
 * Random transactions against a whole local fleet whose parts are cut off, crashed and restarted at random; both targets end
 * equal to the source. What is done is drawn from the seed; how it interleaves is up to the machine.
 *
 * `SEED=n` repeats one seed, `RANDOM_SEEDS=n` runs so many.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { sourceSync } from '../support/captured-source.ts';
import { LiveFleet } from '../support/live-fleet.ts';
import { type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts';
import { randomFrom } from '../support/random.ts';
import { application } from '../support/random-application.ts';
import {
  type Mishap,
  planRandomRun,
  RANDOM_ROWS,
  RANDOM_SCHEMA,
  RANDOM_TABLES,
} from '../support/random-world.ts';

const FIRST = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const COUNT = process.env['SEED'] === undefined ? Number(process.env['RANDOM_SEEDS'] ?? 4) : 1;
const SEEDS = Array.from({ length: COUNT }, (_, n) => FIRST + n);

const TARGETS = ['reports', 'archive'] as const;
/** At one of the targets the lane may only write rows: foreign keys stay in force. At the other it is a superuser. */
const WRITER = 'writer';

const SETTLE_SECONDS = 120;

/** A crash must not lose what was committed: all servers commit durably, as far as a crash of the process goes. */
const DURABLE = { synchronous_commit: 'on' };

const servers = new Map<string, PostgresServer>();

beforeAll(async () => {
  for (const name of ['east', ...TARGETS])
    servers.set(name, await startPostgres({ major: inject('serverMajor'), settings: DURABLE }));
  for (const server of servers.values())
    await withConnection({ database: 'test', url: server.url(), purpose: 'test setup' }, (db) =>
      db.script(`create role ${WRITER} login`),
    );
});

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.destroy()));
});

function serverOf(name: string): PostgresServer {
  const server = servers.get(name);
  if (server === undefined) throw new Error(`no server ${name}`);
  return server;
}

async function happen(mishap: Mishap, live: LiveFleet, proxy: PostgresProxy): Promise<void> {
  switch (mishap.kind) {
    case 'cut connections':
      return proxy.cutAll();
    case 'crash target':
      return await crash(serverOf(TARGETS[mishap.target] ?? TARGETS[0]));
    case 'crash source':
      return await crash(serverOf('east'));
    case 'restart fleet':
      await live.stop();
      return void (await live.start());
    case 'kick':
      return void (await live.running?.queue.send([
        { lane: `orders/${TARGETS[mishap.target] ?? ''}`, reason: 'manual' },
      ]));
    case 'sweep':
      return void (await live.running?.sweep());
  }
}

async function crash(server: PostgresServer): Promise<void> {
  await server.stop('immediate');
  await server.start();
}

test.each(SEEDS)(
  'a random workload with random mishaps ends equal (SEED=%i)',
  async (seed) => {
    const plan = planRandomRun(randomFrom(seed));
    const database = `random_${seed}`;
    for (const server of servers.values()) {
      await withConnection({ database: 'test', url: server.url(), purpose: 'test setup' }, (db) =>
        db.script(`create database ${database}`),
      );
      await withConnection({ database: 'test', url: server.url(database), purpose: 'test setup' }, (db) =>
        db.script(`
          set search_path to public; ${RANDOM_SCHEMA};
          grant select, insert, update, delete on all tables in schema public to ${WRITER}`),
      );
    }
    await withConnection(
      { database: 'test', url: serverOf('east').url(database), purpose: 'test setup' },
      (db) => db.script(`set search_path to public; ${RANDOM_ROWS}`),
    );
    const proxy = await startPostgresProxy(
      Object.fromEntries([...servers].map(([name, server]) => [name, server.url(database)])),
    );
    onTestFinished(() => proxy.close());
    const live = new LiveFleet({
      sync: { ...sourceSync({ targets: TARGETS }), batchRows: plan.batchRows },
      urlOf: (name) => {
        const url = new URL(proxy.url(name));
        if (name === 'archive') url.username = WRITER;
        return url.href;
      },
      sweepIntervalMs: 2_000,
    });
    await live.apply();
    await live.start();

    const mishaps = [...plan.mishaps];
    let statements = 0;
    let happening: Promise<void> = Promise.resolve();
    const onStatement = async (): Promise<void> => {
      statements += 1;
      while (mishaps[0] !== undefined && mishaps[0].afterStatements <= statements) {
        const { mishap } = mishaps.shift()!;
        happening = happening.then(() => happen(mishap, live, proxy));
      }
      // A little slower than the machine could, so that runs, mishaps and changes meet.
      await sleep(2);
    };
    const url = serverOf('east').url(database);
    const done = await Promise.all(plan.sessions.map((session) => application(url, session, onStatement)));
    expect(Math.min(...done)).toBeGreaterThan(50);
    await happening;

    const replay = `SEED=${seed} npx vitest run test/random`;
    try {
      await live.settle(SETTLE_SECONDS);
      await live.expectEqual(RANDOM_TABLES);
      await live.inSource(async (db) =>
        expect(await db.rows('select * from bucardo.rejected_row')).toEqual([]),
      );
    } catch (error) {
      console.error(`FAILED with seed ${seed}; again: ${replay}`);
      throw error;
    }
    await live.stop();
  },
  300_000,
);
