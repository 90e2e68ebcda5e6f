/**
 * Poolers between the programs and their databases: a real PgBouncer in each of its modes, at source and target. A session of
 * the server that was ours for a moment is an application's next; nothing of ours may be left in it.
 */
import { Client } from 'pg';
import { describe, expect, inject, test } from 'vitest';
import { startNotifier } from '../../notifier/start-notifier.ts';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import type { Database } from '../../shared/config/types.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { kickAndWait } from '../../shared/status/kick-and-wait.ts';
import { applySource, sourceDatabase } from '../support/captured-source.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { RecordingQueue } from '../support/notifying.ts';
import { skipWithoutPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { waitFor } from '../support/wait-for.ts';

const POOL_SIZE = 3;

const SHOP = `create table customer (id int primary key, name text);
  create table invoice (id int primary key, customer int references customer, at timestamptz)`;

type Side = 'source' | 'target';

interface Scene {
  readonly lane: LaneFixture;
  /** URL of a side, by way of the pooler if that side has it. */
  readonly url: (side: Side) => string;
}

const resolving =
  ({ url }: Scene) =>
  async ({ name }: Database): Promise<string> =>
    url(name === SOURCE ? 'source' : 'target');

/** Every way in which the programs come to a database. Each returns the code of the error that it ended with. */
const ATTEMPTS: Readonly<Record<string, (scene: Scene) => Promise<string | undefined>>> = {
  lane: async (scene) => await codeOf(async () => await run(scene)),
  apply: async ({ lane, url }) =>
    await codeOf(async () => await applySource(url('source'), [lane.sync], sourceDatabase('poll', SOURCE))),
  check: async (scene) => {
    const findings = await checkFleet({ fleet: scene.lane.fleet, resolveUrl: resolving(scene) });
    return findings.find(({ severity }) => severity === 'error')?.code;
  },
  notifier: async (scene) => {
    const failed: string[] = [];
    const notifier = await startNotifier({
      fleet: {
        ...scene.lane.fleet,
        databases: new Map(
          [...scene.lane.fleet.databases].map(([name, one]) => [name, { ...one, wake: 'notify' }]),
        ),
      },
      resolveUrl: resolving(scene),
      queue: new RecordingQueue(),
      log: (_level, _event, fields = {}) => {
        if (typeof fields['code'] === 'string') failed.push(fields['code']);
      },
      timing: { heartbeatMs: 600_000, reconnectLeastMs: 600_000, reconnectMostMs: 600_000 },
    });
    await notifier.ready;
    await notifier.stop();
    return failed[0];
  },
  'kick --wait': async (scene) => {
    const from = { database: SOURCE, url: scene.url('source'), purpose: 'test kick' };
    let code: string | undefined;
    const failed = await codeOf(async () => {
      const send = async (): Promise<void> => await run(scene);
      const outcomes = await withConnection(from, (source) =>
        kickAndWait(source, {
          sync: scene.lane.sync,
          lanes: scene.lane.lanes,
          send,
          timeoutSeconds: 20,
        }),
      );
      code = outcomes[0]?.error?.code;
    });
    return failed ?? code;
  },
};

const USED_SIDES: Readonly<Record<string, readonly Side[]>> = {
  lane: ['source', 'target'],
  apply: ['source'],
  check: ['source', 'target'],
  notifier: ['source'],
  'kick --wait': ['source'],
};

async function codeOf(act: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    return asBucardoError(error).code;
  }
}

async function run(scene: Scene): Promise<void> {
  const connections = new ConnectionCache();
  const { lane } = scene;
  const options = { fleet: lane.fleet, resolveUrl: resolving(scene), log: lane.log, connections };
  try {
    await runLane(lane.lane, { ...options, deadlineMs: Date.now() + 60_000 });
  } finally {
    await connections.close();
  }
}

async function sceneOf(side: Side, through: (url: string) => string): Promise<Scene> {
  const lane = await createLaneFixture({ schema: SHOP, copy: 'if-empty' });
  const direct = { source: lane.sourceUrl, target: lane.targetUrl() };
  await lane.source.script(
    `insert into customer values (1, 'one'); insert into invoice values (1, 1, now())`,
  );
  return { lane, url: (wanted) => (wanted === side ? through(direct[wanted]) : direct[wanted]) };
}

/** An application's session by way of the pooler, with nothing set by the driver. */
async function withApplication<Result>(
  url: string,
  body: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ connectionString: url, application_name: 'application' });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

/** All that a session may keep, of every server session in the pool: one application holds each of them at the same time. */
const READ_TRACES = `
  select array(
      select format('%s = %s', name, setting) from pg_settings
      where name like 'bucardo.%' and setting <> ''
        or name not in ('application_name', 'client_encoding') and source = 'session' and setting <> reset_val
      order by 1)
    || array(select 'listens to ' || channel from pg_listening_channels() channel)
    || array(select 'holds ' || locktype from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
    || array(select 'prepared ' || name from pg_prepared_statements)
    || array(select 'temporary ' || relname from pg_class where relpersistence = 't' and pg_table_is_visible(oid)) as traces`;

async function expectNoTraces(url: string): Promise<void> {
  const held: Client[] = [];
  try {
    const pids = new Set<number>();
    for (let each = 0; each < POOL_SIZE; each += 1) {
      const client = new Client({ connectionString: url, application_name: 'application' });
      held.push(client);
      await client.connect();
      await client.query('begin');
      const { rows } = await client.query(READ_TRACES);
      expect(rows).toEqual([{ traces: [] }]);
      pids.add((await client.query('select pg_backend_pid() as pid')).rows[0].pid);
    }
    expect(pids.size).toBe(POOL_SIZE);
  } finally {
    await Promise.all(held.map((client) => client.end()));
  }
}

/** Foreign keys act and writes are captured in every session of the pool. */
async function expectApplicationsWork({ lane, url }: Scene, side: Side): Promise<void> {
  await expectNoTraces(url(side));
  const captured = async (): Promise<number> =>
    (await lane.source.row<{ n: number }>('select count(*)::int as n from bucardo.delta_public_customer')).n;
  const before = await captured();
  await withApplication(url(side), async (client) => {
    await expect(client.query('insert into invoice values (99, 99, now())')).rejects.toMatchObject({
      code: '23503',
    });
    await client.query(`insert into customer values (50, 'by way of the pooler')`);
    await client.query('delete from customer where id = 50');
  });
  expect(await captured()).toBe(before + (side === 'source' ? 2 : 0));
}

describe.skipIf(skipWithoutPgBouncer())('behind PgBouncer', () => {
  for (const side of ['source', 'target'] as const) {
    for (const mode of ['transaction', 'statement'] as const) {
      for (const server_round_robin of ['0', '1']) {
        test(`in ${mode} mode at the ${side}, round robin ${server_round_robin}, nothing runs and nothing is left behind`, async () => {
          const settings = { default_pool_size: String(POOL_SIZE), server_round_robin };
          await using pooler = await startPgBouncer(inject('serverUrl'), mode, settings);
          const scene = await sceneOf(side, pooler.through);
          for (const [name, attempt] of Object.entries(ATTEMPTS)) {
            if (USED_SIDES[name]?.includes(side) !== true) continue;
            expect(await attempt(scene), name).toBe('BUC-LANE-POOLED');
            if (mode === 'transaction') await expectApplicationsWork(scene, side);
          }
          // By the direct way all is well.
          await scene.lane.run();
          await scene.lane.expectEqual();
        });
      }
    }

    // Without its reset query not even the pooler cleans up.
    for (const server_reset_query of ['DISCARD ALL', '']) {
      test(`in session mode at the ${side}, reset query «${server_reset_query}», all runs and nothing is left behind`, async () => {
        const settings = { default_pool_size: String(POOL_SIZE), server_reset_query };
        await using pooler = await startPgBouncer(inject('serverUrl'), 'session', settings);
        const scene = await sceneOf(side, pooler.through);
        for (const [name, attempt] of Object.entries(ATTEMPTS)) {
          expect(await attempt(scene), name).toBeUndefined();
          await expectApplicationsWork(scene, side);
        }
        await scene.lane.source.script(`update customer set name = 'more' where id = 1;
          insert into customer select n, 'many' from generate_series(100, 15000) n`);
        await run(scene);
        await scene.lane.expectEqual();
        await expectApplicationsWork(scene, side);
      });
    }
  }

  test('a pooler in transaction mode is found out while applications use it, and none of them notices', async () => {
    const settings = { default_pool_size: String(POOL_SIZE) };
    await using pooler = await startPgBouncer(inject('serverUrl'), 'transaction', settings);
    const scene = await sceneOf('source', pooler.through);
    const work = new AbortController();
    let statements = 0;
    const application = async (number: number): Promise<void> =>
      await withApplication(scene.url('source'), async (client) => {
        while (!work.signal.aborted) {
          await client.query(
            `insert into customer values (${number}, 'x'); delete from customer where id = ${number}`,
          );
          const { rows } = await client.query(READ_TRACES);
          expect(rows).toEqual([{ traces: [] }]);
          statements += 1;
        }
      });
    const applications = Promise.all([1001, 1002, 1003, 1004].map(application));
    try {
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const before = statements;
        expect(await ATTEMPTS['lane']?.(scene)).toBe('BUC-LANE-POOLED');
        await waitFor(() => statements > before);
      }
    } finally {
      work.abort();
      await applications;
    }
    await expectApplicationsWork(scene, 'source');
  });

  test('a pool of one session serves in session mode, and is refused in transaction mode', async () => {
    const url = inject('serverUrl');
    const answer = async (way: string): Promise<string | undefined> =>
      await codeOf(
        async () =>
          await withConnection({ database: 'east', url: way, purpose: 'test' }, (db) =>
            db.script('select 1'),
          ),
      );
    await using session = await startPgBouncer(url, 'session', { default_pool_size: '1' });
    expect(await answer(session.through(url))).toBeUndefined();
    await using transaction = await startPgBouncer(url, 'transaction', { default_pool_size: '1' });
    expect(await answer(transaction.through(url))).toBe('BUC-LANE-POOLED');
  });
});
