/** Changes that no trigger saw: whatever kept it from firing is noticed, also when it is over, and leads to a copy. */
import { describe, expect, test } from 'vitest';
import { watchCapture } from '../../shared/capture/watch-capture.ts';
import { readStatus } from '../../shared/status/read-status.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { planOf, sourceDatabase } from '../support/captured-source.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const TABLES = `
  create table t (id int primary key, note text);
  create table other (id int primary key);
  create table p (id int, part int, note text, primary key (id, part)) partition by list (part);
  create table p1 partition of p for values in (1);
  create table p2 partition of p for values in (2) partition by list (part);
  create table p2a partition of p2 for values in (2)`;

/** Partitions are the source's own affair. */
const TARGET = `
  create table t (id int primary key, note text);
  create table other (id int primary key);
  create table p (id int, part int, note text, primary key (id, part))`;

/** Writes that the targets must have in the end: inserted, changed, moved to another key, deleted. */
const WRITES: Readonly<Record<'t' | 'p', string>> = {
  t: `insert into t values (10, 'new'); update t set note = 'changed' where id = 1; update t set id = 20 where id = 2; delete from t where id = 3`,
  p: `insert into p values (10, 1, 'new'); update p set note = 'changed' where id = 1; update p set id = 20 where id = 2; delete from p where id = 3`,
};

async function filled(): Promise<LaneFixture> {
  const fixture = await createLaneFixture({ schema: { source: TABLES, target: TARGET } });
  await fixture.source.script(`
    insert into t select i, 'old' from generate_series(1, 5) i;
    insert into p select i, 1 + i % 2, 'old' from generate_series(1, 5) i;
    insert into other values (1)`);
  await fixture.run();
  await fixture.expectEqual();
  return fixture;
}

async function uncaptured(fixture: LaneFixture): Promise<readonly string[]> {
  const [lane] = await readStatus(fixture.source, [fixture.sync]);
  return lane!.uncaptured.map(({ relation }) => relation);
}

async function copyNeeded(fixture: LaneFixture): Promise<readonly string[]> {
  const rows = await fixture.source.rows<{ name: string }>(
    `select format('%s: %s', table_name, reason) as name from bucardo.copy_needed order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** As `bucardo copy` does it, then the lane's runs. */
async function copyAll(fixture: LaneFixture): Promise<void> {
  await fixture.source.run(
    `insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state)
     select sync, destination, schema_name, table_name, 'always', 'wanted' from bucardo.copy_needed`,
  );
  await fixture.run();
}

/** `away` takes capture away, `back` brings it back as it was. */
const DAMAGES: readonly { readonly away: string; readonly back?: string; readonly table: 't' | 'p' }[] = [
  ...['insert', 'update', 'delete'].map((name) => ({
    table: 't' as const,
    away: `alter table t disable trigger bucardo_capture_${name}`,
    back: `alter table t enable trigger bucardo_capture_${name}`,
  })),
  ...['update', 'delete'].map((name) => ({
    table: 't' as const,
    away: `drop trigger bucardo_capture_${name} on t`,
  })),
  {
    table: 't',
    away: `alter table t enable replica trigger bucardo_capture_insert`,
    back: `alter table t enable trigger bucardo_capture_insert`,
  },
  { table: 't', away: `alter table t disable trigger user`, back: `alter table t enable trigger user` },
  { table: 't', away: `alter table t disable trigger all`, back: `alter table t enable trigger all` },
  { table: 't', away: `drop function bucardo.capture_public_t() cascade` },
  { table: 't', away: `drop table bucardo.delta_public_t; drop function bucardo.capture_public_t() cascade` },
  {
    table: 't',
    away: `create or replace function bucardo.capture_public_t() returns trigger language plpgsql as 'begin return null; end'`,
  },
  {
    table: 't',
    away: `drop trigger bucardo_capture_insert on t; create function nothing() returns trigger language plpgsql as 'begin return null; end';
      create trigger bucardo_capture_insert after insert on t for each statement execute function nothing()`,
  },
  { table: 'p', away: `alter table p disable trigger all`, back: `alter table p enable trigger all` },
  { table: 'p', away: `alter table p1 disable trigger all`, back: `alter table p1 enable trigger all` },
  { table: 'p', away: `alter table p2a disable trigger user; alter table p1 disable trigger user` },
  { table: 'p', away: `drop function bucardo.capture_public_p() cascade` },
];

describe('writes while capture is away', () => {
  test.for(DAMAGES)('are told and copied by apply: $away', async ({ away, back, table }) => {
    const fixture = await filled();
    await fixture.source.script(away);
    await fixture.source.script(WRITES[table]);
    expect(await uncaptured(fixture)).toEqual([`public.${table}`]);
    if (back !== undefined) {
      await fixture.source.script(back);
      expect(await uncaptured(fixture)).toEqual([`public.${table}`]);
    }
    const plan = await planOf(fixture.sourceUrl, [fixture.sync], sourceDatabase('poll'));
    expect(plan.steps).toMatchObject([{ relation: `public.${table}`, missed: expect.any(Array) }]);
    await fixture.apply();
    expect(await copyNeeded(fixture)).toEqual([`${table}: uncaptured`]);
    expect(await uncaptured(fixture)).toEqual([]);
    await copyAll(fixture);
    await fixture.expectEqual();
    expect(await copyNeeded(fixture)).toEqual([]);
    await fixture.source.script(`insert into t values (30, 'later'); insert into p values (30, 2, 'later')`);
    await fixture.run();
    await fixture.expectEqual();
    const again = await planOf(fixture.sourceUrl, [fixture.sync], sourceDatabase('poll'));
    expect(again.steps).toEqual([]);
  });

  test('are told by the sweep, and again as long as a trigger is off', async () => {
    const fixture = await filled();
    await fixture.source.script(
      `alter table t disable trigger bucardo_capture_insert; insert into t values (10)`,
    );
    expect(await watchCapture(fixture.source, silentLog)).toBe(1);
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
    await copyAll(fixture);
    await fixture.source.script(`insert into t values (11)`);
    expect(await watchCapture(fixture.source, silentLog)).toBe(1);
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
    await copyAll(fixture);
    await fixture.source.script(`alter table t enable trigger bucardo_capture_insert`);
    expect(await watchCapture(fixture.source, silentLog)).toBe(1);
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
    await copyAll(fixture);
    expect(await watchCapture(fixture.source, silentLog)).toBe(0);
    expect(await copyNeeded(fixture)).toEqual([]);
    await fixture.expectEqual();
  });

  test('between the look of apply and its repair are told by the next look', async () => {
    const fixture = await filled();
    await fixture.source.script(`alter table t disable trigger bucardo_capture_truncate`);
    const plan = await planOf(fixture.sourceUrl, [fixture.sync], sourceDatabase('poll'));
    await fixture.source
      .script(`alter table t disable trigger bucardo_capture_insert; insert into t values (10);
      alter table t enable trigger bucardo_capture_insert`);
    for (const { sql } of plan.steps) await fixture.source.script(`begin; ${sql.join(';')}; commit`);
    await copyAll(fixture);
    expect(await watchCapture(fixture.source, silentLog)).toBe(1);
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
  });
});

describe('a delta table', () => {
  test.for([
    `truncate bucardo.delta_public_t`,
    `delete from bucardo.delta_public_t`,
    `delete from bucardo.delta_public_t where id = '10'`,
  ])('that lost deltas by hand asks for a copy at once: %s', async (loss) => {
    const fixture = await filled();
    await fixture.source.script(`insert into t values (10); ${loss}`);
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
    await copyAll(fixture);
    await fixture.expectEqual();
  });

  test.for([
    `alter table bucardo.delta_public_t disable trigger all; truncate bucardo.delta_public_t`,
    `alter table bucardo.delta_public_t disable trigger all; delete from bucardo.delta_public_t`,
    `drop table bucardo.delta_public_t`,
    `create table bucardo.other (like bucardo.delta_public_t including all); drop table bucardo.delta_public_t;
     alter table bucardo.other rename to delta_public_t`,
  ])('that was emptied unseen is found by the next look: %s', async (loss) => {
    const fixture = await filled();
    await fixture.source.script(`insert into t values (10); ${loss}`);
    expect(await uncaptured(fixture)).toEqual(['public.t']);
    await fixture.apply();
    expect(await copyNeeded(fixture)).toEqual(['t: uncaptured']);
    await copyAll(fixture);
    await fixture.expectEqual();
    expect(await uncaptured(fixture)).toEqual([]);
  });

  test('that is vacuumed, clustered or analysed loses nothing', async () => {
    const fixture = await filled();
    await fixture.source.script(`insert into t values (10)`);
    for (const sql of [
      `vacuum full bucardo.delta_public_t`,
      `analyze bucardo.delta_public_t`,
      `vacuum full t`,
      `vacuum freeze p1`,
    ]) {
      await fixture.source.run(sql);
    }
    expect(await uncaptured(fixture)).toEqual([]);
    expect(await watchCapture(fixture.source, silentLog)).toBe(0);
    expect(await copyNeeded(fixture)).toEqual([]);
  });
});

describe('a partition', () => {
  /** Each brings rows into `p` or takes some away without a trigger. */
  test.for([
    `create table n (like p including all); insert into n values (7, 3, 'x'); alter table p attach partition n for values in (3)`,
    `begin; create table n (like p including all); insert into n values (7, 3, 'x'); alter table p attach partition n for values in (3); commit`,
    `begin; create table n (like p including all); savepoint s; alter table p attach partition n for values in (3); release s; commit;
     begin; alter table p detach partition n; insert into n values (7, 3, 'x'); alter table p attach partition n for values in (3); commit`,
    `create table n (like p including all); insert into n values (7, 3, 'x'); vacuum freeze n; alter table p attach partition n for values in (3)`,
    `create table n (like p including all); insert into n values (7, 3, 'x'); alter table p attach partition n for values in (3);
     insert into p select i, 3, 'seen' from generate_series(100, 2000) i`,
    `create table n (id int, part int, note text, primary key (id, part)) partition by list (part);
     create table n1 partition of n for values in (3); insert into n values (7, 3, 'x'); alter table p attach partition n for values in (3)`,
    `drop table p1`,
    `alter table p detach partition p1`,
    `alter table p detach partition p2`,
    `alter table p2 detach partition p2a`,
    `alter table p detach partition p1; insert into p1 values (8, 1, 'x'); alter table p attach partition p1 for values in (1)`,
    `create table n partition of p for values in (3); insert into p values (9, 3, 'x'); truncate n`,
  ])('that came or went with rows is told: %s', async (change) => {
    const fixture = await filled();
    for (const sql of change.split(';\n')) await runApart(fixture, sql);
    expect(await uncaptured(fixture)).toEqual(['public.p']);
    await watchCapture(fixture.source, silentLog);
    expect(await copyNeeded(fixture)).toEqual(['p: uncaptured']);
    expect(await uncaptured(fixture)).toEqual([]);
    await fixture.apply();
    await copyAll(fixture);
    await fixture.expectEqual(['public.t', 'public.p']);
    expect(await watchCapture(fixture.source, silentLog)).toBe(0);
  });

  test.for([
    `create table n partition of p for values in (3)`,
    `create table n partition of p for values in (3); insert into p select i, 3, 'x' from generate_series(100, 2000) i`,
    `begin; create table n partition of p for values in (3); insert into p values (9, 3, 'x'); commit`,
    `begin; create table n (like p including all); alter table p attach partition n for values in (3); insert into n values (9, 3, 'x'); commit`,
    `create table n (like p including all); alter table p attach partition n for values in (3); insert into p values (9, 3, 'x')`,
    `create table n (like p including all); insert into n values (7, 3, 'x'); delete from n; alter table p attach partition n for values in (3)`,
    `create table n partition of p for values in (3) partition by list (part); create table n1 partition of n for values in (3);
     insert into p values (9, 3, 'x'); vacuum freeze n1`,
  ])('that came empty is no reason for a copy: %s', async (change) => {
    const fixture = await filled();
    for (const sql of change.split(';\n')) await runApart(fixture, sql);
    expect(await uncaptured(fixture)).toEqual([]);
    expect(await watchCapture(fixture.source, silentLog)).toBe(0);
    expect(await copyNeeded(fixture)).toEqual([]);
    await fixture.run();
    await fixture.apply();
    expect(await copyNeeded(fixture)).toEqual([]);
  });
});

/** VACUUM must be alone; a transaction stays in one piece. */
async function runApart(fixture: LaneFixture, sql: string): Promise<void> {
  if (sql.includes('begin')) return await fixture.source.script(sql);
  for (const statement of sql.split(';')) if (statement.trim() !== '') await fixture.source.run(statement);
}
