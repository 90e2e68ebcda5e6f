/** A target that is away, refuses, is full, read-only or locked fails its own lane only, says why, and catches up later. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';
import { waitFor } from '../support/wait-for.ts';

const major = inject('serverMajor');
const ORDERS = `create table orders (id int primary key, note text)`;

const servers: PostgresServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.destroy()));
});

async function server(): Promise<PostgresServer> {
  const started = await startPostgres({ major });
  servers.push(started);
  return started;
}

/** The first target fails with `code` while the second one goes on; `mend` lets the first one catch up. */
async function expectOneLaneToFail(
  lane: LaneFixture,
  code: string,
  mend: () => Promise<void>,
): Promise<void> {
  const [broken, well] = lane.lanes as [LaneFixture['lane'], LaneFixture['lane']];
  await lane.source.script(`
    insert into orders select n, 'new' from generate_series(100, 120) n; delete from orders where id = 1`);
  for (const failures of [1, 2]) {
    await expect(lane.run(broken)).rejects.toMatchObject({
      code,
      retry: 'later',
      concern: { sync: 'orders', database: 'reports' },
    });
    expect(await lane.status(broken)).toMatchObject({ code, failures });
    await lane.run(well);
    await lane.expectEqual(undefined, 'reports_2');
    await lane.source.script(
      `update orders set note = 'while it is away ${failures}' where id between 2 and 5`,
    );
  }
  expect(await lane.status(well)).toMatchObject({ code: null, failures: 0 });
  expect(await lane.held(broken)).toEqual([]);
  expect(await lane.rejected(broken)).toEqual([]);
  await mend();
  await lane.forgetConnections();
  await lane.run(broken);
  await lane.expectEqual();
  expect(await lane.status(broken)).toEqual({ code: null, detail: null, failures: 0 });
}

async function seeded(options: Parameters<typeof createLaneFixture>[0] = {}): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema: ORDERS, targets: 2, ...options });
  await lane.source.script(`insert into orders select n, 'note' from generate_series(1, 10) n`);
  for (const each of lane.lanes) await lane.run(each);
  await lane.expectEqual();
  return lane;
}

/** As the administrator of the targets' server, in another database. */
async function administrate(lane: LaneFixture, sql: string): Promise<void> {
  const url = new URL(lane.targetUrl());
  url.pathname = '/postgres';
  const admin = await lane.session(url.href);
  await admin.script(sql.replace('DATABASE', new URL(lane.targetUrl()).pathname.slice(1)));
}

test('a target that is down', async () => {
  const target = await server();
  const lane = await seeded({ targetServers: [target] });
  await target.stop('immediate');
  await expectOneLaneToFail(lane, 'BUC-DB-UNREACHABLE', () => target.start());
});

test('a target that was restarted between two runs is no failure', async () => {
  const target = await server();
  const lane = await seeded({ targetServers: [target] });
  await lane.source.script(`update orders set note = 'changed'`);
  await target.stop('fast');
  await target.start();
  await lane.run();
  await lane.expectEqual();
  expect((await lane.status()).failures).toBe(0);
});

test('a target that goes down in the middle of a batch', async () => {
  const target = await server();
  const lane = await seeded({ targetServers: [target] });
  const blocker = await lane.session(lane.targetUrl());
  await blocker.script(`begin; lock table orders`);
  await lane.source.script(`update orders set note = 'changed'`);
  const run = lane.run();
  run.catch(() => {});
  await waitFor(async () => (await waiting(blocker)) === 1);
  await target.stop('immediate');
  await expect(run).rejects.toMatchObject({ code: 'BUC-DB-UNREACHABLE', concern: { database: 'reports' } });
  await target.start();
  await lane.run();
  await lane.expectEqual();
});

test('a target that is a standby', async () => {
  const target = await server();
  const lane = await seeded({ targetServers: [target] });
  const signal = join(target.data, 'standby.signal');
  await target.stop('fast');
  writeFileSync(signal, '');
  await target.start();
  await lane.forgetConnections();
  await expectOneLaneToFail(lane, 'BUC-DB-READ-ONLY', async () => {
    await target.stop('fast');
    rmSync(signal);
    await target.start();
  });
});

test('a target in read-only mode', async () => {
  const lane = await seeded();
  await administrate(lane, `alter database DATABASE set default_transaction_read_only = on`);
  await lane.forgetConnections();
  await expectOneLaneToFail(lane, 'BUC-DB-READ-ONLY', () =>
    administrate(lane, `alter database DATABASE reset default_transaction_read_only`),
  );
});

test('a target with no connection left', async () => {
  const lane = await seeded({ targetRole: 'writer' });
  await administrate(lane, `alter database DATABASE connection limit 0`);
  await lane.forgetConnections();
  await expectOneLaneToFail(lane, 'BUC-DB-FULL', () =>
    administrate(lane, `alter database DATABASE connection limit -1`),
  );
});

test('a target that refuses the login', async () => {
  const lane = await seeded({ targetRole: 'writer' });
  await administrate(lane, `revoke connect on database DATABASE from public`);
  await lane.forgetConnections();
  await expectOneLaneToFail(lane, 'BUC-DB-RIGHTS', () =>
    administrate(lane, `grant connect on database DATABASE to public`),
  );
});

test('a target that is closed for maintenance', async () => {
  const lane = await seeded({ targetRole: 'writer' });
  await administrate(lane, `alter database DATABASE allow_connections false`);
  await lane.forgetConnections();
  await expectOneLaneToFail(lane, 'BUC-DB-FAILED', () =>
    administrate(lane, `alter database DATABASE allow_connections true`),
  );
});

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test.each([
    ['a row', `select * from orders where id = 2 for update`],
    ['a table', `lock table orders`],
  ])('a lane waits for the lock on %s, and the others go on', async (_, lock) => {
    const lane = await seeded({ targetRole });
    const [locked, free] = lane.lanes as [LaneFixture['lane'], LaneFixture['lane']];
    const blocker = await lane.session(lane.targetUrl());
    await blocker.script(`begin; ${lock}`);
    await lane.source.script(`update orders set note = 'changed'`);
    const run = lane.run(locked);
    run.catch(() => {});
    await waitFor(async () => (await waiting(blocker)) === 1);
    await lane.run(free);
    await lane.expectEqual(undefined, 'reports_2');
    await blocker.script('commit');
    expect(await run).toMatchObject({ rows: 10 });
    await lane.expectEqual();
  });

  test('a lane whose session the target’s administrator ends, or whose statement is cancelled, is tried again', async () => {
    const lane = await seeded({ targetRole });
    for (const [end, code] of [
      ['pg_terminate_backend', 'BUC-DB-UNREACHABLE'],
      ['pg_cancel_backend', 'BUC-DB-LOCKED'],
    ]) {
      const blocker = await lane.session(lane.targetUrl());
      await blocker.script(`begin; lock table orders`);
      await lane.source.script(`update orders set note = note || '.'`);
      const run = lane.run();
      run.catch(() => {});
      await waitFor(async () => (await waiting(blocker)) === 1);
      await blocker.run(
        `select ${end}(pid) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`,
      );
      await expect(run).rejects.toMatchObject({ code, retry: 'later' });
      expect(await lane.rejected()).toEqual([]);
      expect(await lane.held()).toEqual([]);
      await blocker.script('rollback');
      await lane.run();
      await lane.expectEqual();
    }
  });
});

test('a source that is down stops its lanes, and they go on from where they were', async () => {
  const source = await server();
  const lane = await seeded({ sourceServer: source });
  await lane.source.script(`update orders set note = 'changed'; delete from orders where id = 3`);
  await source.stop('immediate');
  await expect(lane.run()).rejects.toMatchObject({
    code: 'BUC-DB-UNREACHABLE',
    concern: { database: 'east' },
  });
  expect(lane.events.map(({ event }) => event)).toContain('lane.failure.unrecorded');
  await source.start();
  await lane.openSessions();
  await lane.run();
  await lane.expectEqual();
});

/** How many of the target's sessions wait for a lock. */
async function waiting(db: LaneFixture['target']): Promise<number> {
  const { count } = await db.row<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and application_name like 'bucardo lane%'`,
  );
  return count;
}
