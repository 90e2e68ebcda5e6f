/** The table under a relation's name is not the one that is captured: noticed by every run and every look, whether or not changes wait. */
import { describe, expect, test } from 'vitest';
import { laneState, obstaclesOf } from '../../shared/status/verdict.ts';
import { type LaneStatus, readStatus } from '../../shared/status/read-status.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const TABLES = `create table t (id int primary key, v int); create table other (id int primary key, v int)`;
const CAPTURED = ['public.t', 'public.other'];

/** Ways in which another table gets the name. The new one has the row 2 and no row 1. */
const REPLACED: readonly { readonly title: string; readonly sql: string; readonly target?: string }[] = [
  {
    title: 'dropped and created again',
    sql: `drop table t; create table t (id int primary key, v int); insert into t values (2, 2)`,
  },
  {
    title: 'swapped by renaming',
    sql: `
      create table fresh (id int primary key, v int);
      insert into fresh values (2, 2);
      begin; alter table t rename to away; alter table fresh rename to t; commit`,
  },
  {
    title: 'swapped by moving it between schemas',
    sql: `
      create schema fresh; create schema away;
      create table fresh.t (id int primary key, v int);
      insert into fresh.t values (2, 2);
      begin; alter table t set schema away; alter table fresh.t set schema public; commit`,
  },
  {
    title: 'created again with a key of another type',
    sql: `drop table t; create table t (id bigint primary key, v int); insert into t values (2, 2)`,
    target: `alter table t alter column id type bigint`,
  },
  {
    title: 'created again as a partitioned table',
    sql: `
      drop table t;
      create table t (id int primary key, v int) partition by range (id);
      create table t_all partition of t default;
      insert into t values (2, 2)`,
  },
];

async function statusOf(lane: LaneFixture): Promise<LaneStatus> {
  const [status] = await readStatus(lane.source, [lane.sync]);
  if (status === undefined) throw new Error('no lane');
  return status;
}

describe('a table whose name belongs to another table', () => {
  test.each(REPLACED)(
    'is told without any change that waits, and captured by apply: $title',
    async ({ sql, target = '' }) => {
      const lane = await createLaneFixture({ schema: TABLES, tables: CAPTURED });
      await lane.source.script('insert into t values (1, 1)');
      await lane.run();
      await lane.source.script(sql);
      if (target !== '') await lane.target.script(target);

      // A look is enough.
      const before = await statusOf(lane);
      expect(before.problems).toMatchObject([{ relation: 'public.t', code: 'BUC-TABLE-REPLACED' }]);
      expect(laneState(before)).toBe('held');
      expect(obstaclesOf(before).join()).toMatch(/another table/i);

      // A run holds it, and takes nothing away from the target.
      await lane.source.script('insert into other values (1, 1)');
      await lane.run();
      expect(await lane.held()).toMatchObject([{ table: 'public.t', code: 'BUC-TABLE-REPLACED' }]);
      expect(await lane.target.rows('select id, v from t')).toMatchObject([{ v: 1 }]);
      await lane.expectEqual(['public.other']);

      await lane.apply();
      await lane.source.script('insert into t values (3, 3)');
      await lane.run();
      expect(await lane.held()).toEqual([]);
      expect(await lane.target.rows('select v from t order by id')).toEqual([{ v: 1 }, { v: 3 }]);
      const after = await statusOf(lane);
      expect(after.problems).toEqual([]);
      expect(after.copyNeeded).toEqual([{ relation: 'public.t', reason: 'replaced' }]);
      expect(laneState(after)).toBe('needs copy');

      await requestCopy(lane.source, { sync: lane.sync.name });
      await lane.run();
      await lane.expectEqual();
      expect(laneState(await statusOf(lane))).toBe('level');
      await lane.source.script('update t set v = v + 1; delete from t where id = 2');
      await lane.run();
      await lane.expectEqual();
    },
  );

  test('is told even if a lane never ran since, and a copy of it is not begun', async () => {
    const lane = await createLaneFixture({ schema: TABLES, tables: CAPTURED, copy: 'always' });
    await lane.source.script(
      'drop table t; create table t (id int primary key, v int); insert into t values (2, 2)',
    );
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.t', code: 'BUC-TABLE-REPLACED' }]);
    expect(await lane.target.rows('select from t')).toEqual([]);
    await lane.apply();
    await lane.run();
    await lane.expectEqual();
  });
});

test('a table that was renamed keeps its changes until it has its name again', async () => {
  const lane = await createLaneFixture({ schema: TABLES, tables: CAPTURED });
  await lane.source.script('alter table t rename to away');
  expect((await statusOf(lane)).problems).toMatchObject([
    { code: 'BUC-TABLE-RENAMED', message: expect.stringMatching(/public\.away/) },
  ]);
  await lane.source.script('insert into away values (1, 1)');
  await lane.run();
  await lane.source.script('alter table away rename to t');
  await lane.runLater();
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
  expect(laneState(await statusOf(lane))).toBe('level');
});

test('a table that was dropped is told, and one whose oid is unknown is not', async () => {
  const lane = await createLaneFixture({ schema: TABLES, tables: CAPTURED });
  await lane.source.script('update bucardo.relation set table_oid = null');
  await lane.run();
  expect((await statusOf(lane)).problems).toEqual([]);
  await lane.apply();
  await lane.source.script('drop table t');
  expect((await statusOf(lane)).problems).toMatchObject([{ code: 'BUC-TABLE-MISSING' }]);
});
