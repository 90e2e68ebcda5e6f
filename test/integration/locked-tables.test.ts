/** Tables at the source that somebody keeps for himself: only they wait, and nothing of ours waits in the lock's queue. */
import { describe, expect, test } from 'vitest';
import type { Connection } from '../../shared/postgres/connection.ts';
import { readStatus } from '../../shared/status/read-status.ts';
import { laneState } from '../../shared/status/verdict.ts';
import { beginStatements, interruptedRuns } from '../support/interrupted-run.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';

const TABLES = `
  create table a (id int primary key, v int);
  create table b (id int primary key, v int);
  create table p (id int primary key, v int) partition by range (id);
  create table p_1 partition of p for values from (0) to (10);
  create table p_2 partition of p for values from (10) to (20)`;

/** What keeps a table from being read, as it is done in an open transaction, and which table it is. */
const LOCKS: readonly { readonly title: string; readonly sql: string; readonly table: string }[] = [
  { title: 'LOCK TABLE', sql: 'lock table a in access exclusive mode', table: 'a' },
  { title: 'ALTER TABLE', sql: 'alter table a alter column v type bigint', table: 'a' },
  { title: 'TRUNCATE', sql: 'truncate a; insert into a values (1, 1)', table: 'a' },
  { title: 'REINDEX', sql: 'reindex index a_pkey', table: 'a' },
  { title: 'CLUSTER', sql: 'cluster a using a_pkey', table: 'a' },
  { title: 'a lock of a partition', sql: 'lock table p_2 in access exclusive mode', table: 'p' },
  { title: 'REINDEX of a partition', sql: 'reindex index p_1_pkey', table: 'p' },
];

async function change(lane: LaneFixture): Promise<void> {
  await lane.source.script(
    `insert into a values (1, 1); insert into b values (1, 1); insert into p values (1, 1), (11, 1)`,
  );
}

/** Sessions of ours that are in a transaction, and locks that they wait for. */
async function leftOpen(watch: Connection): Promise<readonly object[]> {
  return await watch.rows(
    `select a.application_name, a.state from pg_stat_activity a
     where a.datname = current_database() and a.application_name like 'bucardo lane%'
       and (a.xact_start is not null or exists (select from pg_locks l where l.pid = a.pid and not l.granted))`,
  );
}

describe('a table that is locked at the source', () => {
  test.each(LOCKS)('waits alone and says so: $title', async ({ sql, table }) => {
    const lane = await createLaneFixture({ schema: TABLES, tables: ['public.a', 'public.b', 'public.p'] });
    await change(lane);
    const blocker = await lane.session(lane.sourceUrl);
    await blocker.script(`begin; ${sql}`);
    await lane.run();
    await lane.expectEqual(['a', 'b', 'p'].filter((name) => name !== table).map((name) => `public.${name}`));
    expect(await lane.held()).toMatchObject([{ table: `public.${table}`, code: 'BUC-TABLE-LOCKED' }]);
    expect(await leftOpen(lane.source)).toEqual([]);
    const [status] = await readStatus(lane.source, [lane.sync]);
    expect(status).toMatchObject({
      held: [{ relation: `public.${table}`, code: 'BUC-TABLE-LOCKED' }],
      failures: 0,
    });
    expect(status === undefined ? '' : laneState(status)).toBe('held');
    expect(status?.pending).toBeGreaterThan(0);

    // Others go on as long as it lasts, and tries of the locked table change nothing.
    await lane.source.script('insert into b values (2, 2)');
    await lane.runLater();
    await lane.expectEqual(['public.b']);
    await blocker.script('rollback');
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('waits alone with its copy', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `${TABLES}; insert into a values (1, 1); insert into b values (1, 1)`,
        target: TABLES,
      },
      tables: ['public.a', 'public.b'],
      copy: 'always',
    });
    const blocker = await lane.session(lane.sourceUrl);
    await blocker.script('begin; lock table a in access exclusive mode');
    await lane.run();
    await lane.expectEqual(['public.b']);
    expect(await lane.held()).toMatchObject([{ table: 'public.a', code: 'BUC-TABLE-LOCKED' }]);
    expect(await leftOpen(lane.source)).toEqual([]);
    await blocker.script('commit');
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('waits alone when it is locked between two chunks of its copy', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `${TABLES}; insert into a values (1, 1); insert into b values (1, 1)`,
        target: TABLES,
      },
      tables: ['public.a', 'public.b'],
      copy: 'always',
    });
    const blocker = await lane.session(lane.sourceUrl);
    const { run } = await interruptedRuns(lane);
    let locked = false;
    await run(async ({ server, sql }) => {
      if (server !== SOURCE || locked || !sql.includes('set chunk_open = true')) return;
      locked = true;
      await blocker.script('begin; lock table a in access exclusive mode');
    });
    expect(await lane.held()).toMatchObject([{ table: 'public.a', code: 'BUC-TABLE-LOCKED' }]);
    await lane.expectEqual(['public.b']);
    await blocker.script('commit');
    await lane.runLater();
    await lane.expectEqual();
  });
});

test('a migration that queues up between the two sessions of a large batch does not stop it', async () => {
  const lane = await createLaneFixture({ schema: TABLES, tables: ['public.a'] });
  await lane.source.script('insert into a select n, n from generate_series(1, 12000) n');
  const { run } = await interruptedRuns(lane);
  let ddl: Awaited<ReturnType<typeof beginStatements>> | undefined;
  await run(async ({ sql }) => {
    if (!sql.includes('set transaction snapshot') || ddl !== undefined) return;
    ddl = await beginStatements(lane.sourceUrl, ['alter table a alter column v type int using v + 0']);
    expect(ddl.waits).toBe(true);
  });
  expect(ddl).toBeDefined();
  await ddl?.done;
  await lane.expectEqual();
  expect(await lane.held()).toEqual([]);
});
