/**
 * Random transactions against a whole local fleet while somebody migrates the source: definitions change, tables are rewritten,
 * swapped, truncated and locked, partitions come and go, triggers are switched off. Then what `status` asks for is done,
 * and both targets are equal to the source.
 *
 * `SEED=n` repeats one seed, `RANDOM_SEEDS=n` runs so many.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { parseRelation } from '../../shared/postgres/identifiers.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { readStatus } from '../../shared/status/read-status.ts';
import { sourceSync } from '../support/captured-source.ts';
import { LiveFleet } from '../support/live-fleet.ts';
import { randomFrom } from '../support/random.ts';
import { application } from '../support/random-application.ts';
import {
  eventChange,
  type Migration,
  migration,
  MIGRATED_SCHEMA,
  MIGRATED_TABLES,
} from '../support/random-migrations.ts';
import { planRandomRun, RANDOM_ROWS, RANDOM_SCHEMA, RANDOM_TABLES } from '../support/random-world.ts';

const FIRST = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const COUNT = process.env['SEED'] === undefined ? Number(process.env['RANDOM_SEEDS'] ?? 2) : 1;
const SEEDS = Array.from({ length: COUNT }, (_, n) => FIRST + n);

const TARGETS = ['reports', 'archive'] as const;
/** At one of the targets the lane may only write rows: foreign keys stay in force. At the other it is a superuser. */
const WRITER = 'writer';
const MIGRATIONS = 8;
const SETTLE_SECONDS = 120;

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ major: inject('serverMajor') });
  await inDatabase('postgres', (db) => db.script(`create role ${WRITER} login`));
});

afterAll(() => server.destroy());

async function inDatabase<Result>(name: string, body: (db: Connection) => Promise<Result>): Promise<Result> {
  return await withConnection({ database: name, url: server.url(name), purpose: 'test setup' }, body);
}

/** As somebody careful does it: a lock is asked for briefly, and again. */
async function migrate(db: Connection, sql: string): Promise<void> {
  for (;;) {
    try {
      return await db.script(sql);
    } catch (error) {
      const { sqlstate } = asBucardoError(error);
      if (sqlstate !== '55P03' && sqlstate !== '40P01') throw error;
      await sleep(50);
    }
  }
}

async function run(
  { steps, apply }: Migration,
  live: LiveFleet,
  databaseOf: (name: string) => string,
): Promise<void> {
  for (const { at, sql } of steps) {
    for (const name of at === 'source' ? ['east'] : TARGETS) {
      await inDatabase(databaseOf(name), async (db) => {
        await db.script(`set search_path to public; set lock_timeout = '500ms'`);
        for (const statement of sql) await migrate(db, statement);
        if (at === 'targets')
          await db.script(`grant select, insert, update, delete on all tables in schema public to ${WRITER}`);
      });
    }
  }
  if (apply) await live.apply();
}

/**
 * What a person does who reads the status: brings capture up to date, asks for the copies that are needed, and looks again, since
 * what is still pending may ask for more.
 */
async function doWhatStatusAsks(live: LiveFleet): Promise<void> {
  const { sync } = live;
  const deadlineMs = Date.now() + SETTLE_SECONDS * 1_000;
  for (;;) {
    await live.apply();
    await live.inSource(async (source) => {
      for (const { destination, copyNeeded } of await readStatus(source, [sync])) {
        // Where foreign keys act, tables that refer to each other can only be emptied together.
        if (destination === 'archive' && copyNeeded.length > 0)
          await requestCopy(source, { sync: sync.name, destination });
        else
          for (const { relation } of copyNeeded)
            await requestCopy(source, { sync: sync.name, destination, relation: parseRelation(relation) });
      }
    });
    try {
      return await live.settle(1);
    } catch (error) {
      if (Date.now() > deadlineMs) throw error;
    }
  }
}

test.each(SEEDS)(
  'a random workload with random migrations ends equal (SEED=%i)',
  async (seed) => {
    const random = randomFrom(seed);
    const { sessions, batchRows } = planRandomRun(random);
    const events = Array.from({ length: 120 }, () => eventChange(random));
    const migrations = Array.from({ length: MIGRATIONS }, (_, n) => migration(random, n));
    const databaseOf = (name: string): string => `${name}_${seed}`;
    for (const name of ['east', ...TARGETS]) {
      await inDatabase('postgres', (db) => db.script(`create database ${databaseOf(name)}`));
      await inDatabase(databaseOf(name), (db) =>
        db.script(`set search_path to public; ${RANDOM_SCHEMA}; ${MIGRATED_SCHEMA};
          grant select, insert, update, delete on all tables in schema public to ${WRITER}`),
      );
    }
    await inDatabase(databaseOf('east'), (db) => db.script(`set search_path to public; ${RANDOM_ROWS}`));
    const live = new LiveFleet({
      sync: {
        ...sourceSync({
          targets: TARGETS,
          tables: [...RANDOM_TABLES, ...MIGRATED_TABLES].map((table) => `public.${table}`),
        }),
        batchRows,
      },
      urlOf: (name) => server.url(databaseOf(name), name === 'archive' ? WRITER : 'postgres'),
      sweepIntervalMs: 2_000,
    });
    const replay = `SEED=${seed} npm run test:migrations`;
    try {
      await live.apply();
      await live.start();
      const url = server.url(databaseOf('east'));
      const writing = [...sessions, events].map((session) => application(url, session, () => sleep(3)));
      for (const each of migrations) {
        await sleep(random.below(400));
        await run(each, live, databaseOf);
      }
      await Promise.all(writing);
      await doWhatStatusAsks(live);
      await live.expectEqual([...RANDOM_TABLES, ...MIGRATED_TABLES]);
      await live.inSource(async (source) => {
        for (const lane of await readStatus(source, [live.sync])) {
          expect(lane).toMatchObject({
            pending: 0,
            held: [],
            copies: [],
            copyNeeded: [],
            rejectedRows: 0,
            error: undefined,
          });
        }
      });
    } catch (error) {
      console.error(
        `FAILED with seed ${seed} (${migrations.map(({ name }) => name).join('; ')}); again: ${replay}`,
      );
      throw error;
    }
    await live.stop();
  },
  300_000,
);
