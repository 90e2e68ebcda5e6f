/** Tables that are more than one: partitions, inheritance, subscriptions. */
import { describe, expect, inject, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applySource, deltasOf, forgetDeltas, planOf, sourceSync } from '../support/captured-source.ts';
import { waitFor } from '../support/wait-for.ts';

const PARTITIONED = `
  create table m (id int, day int, note text, primary key (id, day)) partition by range (day);
  create table m1 partition of m for values from (0) to (10);
  create table m2 partition of m for values from (10) to (20) partition by list (day);
  create table m2a partition of m2 default`;

describe('a partitioned table', () => {
  test('is captured whichever table a statement names, rows that move between partitions included', async () => {
    const database = await createDatabase(PARTITIONED);
    await applySource(database.url);
    const app = await database.app();
    await app.script(
      `insert into m values (1, 1), (2, 11); insert into m1 values (3, 3); insert into m2a values (4, 14)`,
    );
    expect((await deltasOf(app, 'delta_public_m')).toSorted()).toEqual(['1|1', '2|11', '3|3', '4|14']);
    await forgetDeltas(app, 'delta_public_m');
    await app.script(
      `update m set day = 12 where id = 1; update m1 set note = 'x'; delete from m2a where id = 4`,
    );
    expect((await deltasOf(app, 'delta_public_m')).toSorted()).toEqual(['1|1', '1|12', '3|3', '4|14']);
  });

  test('a partition that is attached later is captured from then on, filled with a new trigger for TRUNCATE by apply', async () => {
    const database = await createDatabase(PARTITIONED);
    await applySource(database.url);
    const app = await database.app();
    await app.script(`create table m3 (id int not null, day int not null, note text);
      alter table m attach partition m3 for values from (20) to (30); insert into m values (5, 25); insert into m3 values (6, 26)`);
    expect(await deltasOf(app, 'delta_public_m')).toEqual(['5|25', '6|26']);
    expect((await applySource(database.url)).steps.map(({ title }) => title)).toEqual([
      'Bring the capture of public.m up to date',
    ]);
    expect((await planOf(database.url)).steps).toEqual([]);
    await app.script(`truncate m3`);
    expect(await app.rows(`select table_name from bucardo.truncation`)).toEqual([{ table_name: 'm' }]);
  });

  test('TRUNCATE of the table, of a partition and of a partition’s partition are recorded', async () => {
    const database = await createDatabase(PARTITIONED);
    await applySource(database.url);
    const app = await database.app();
    for (const [position, name] of ['m', 'm1', 'm2', 'm2a'].entries()) {
      await app.script(`truncate ${name}`);
      expect(await app.rows(`select from bucardo.truncation where table_name = 'm'`)).toHaveLength(
        position + 1,
      );
    }
  });

  // Before 13 Postgres refuses to attach a table whose triggers have transition tables.
  test.skipIf(inject('serverMajor') < 13)(
    'a table that is captured on its own can be attached, and both are captured after apply',
    async () => {
      const database = await createDatabase(
        `${PARTITIONED}; create table m4 (id int, day int, note text, primary key (id, day))`,
      );
      const syncs = [sourceSync({ tables: ['public.m', 'public.m4'] })];
      await applySource(database.url, syncs);
      const app = await database.app();
      await app.script(`alter table m attach partition m4 for values from (40) to (50)`);
      await applySource(database.url, syncs);
      expect((await planOf(database.url, syncs)).steps).toEqual([]);
      await app.script(`insert into m values (1, 41); insert into m4 values (2, 42); truncate m4`);
      expect(await deltasOf(app, 'delta_public_m')).toEqual(['1|41', '2|42']);
      expect(await deltasOf(app, 'delta_public_m4')).toEqual(['1|41', '2|42']);
      const truncated = await app.rows(`select table_name from bucardo.truncation order by 1`);
      expect(truncated).toEqual([{ table_name: 'm' }, { table_name: 'm4' }]);
      await app.script(`alter table m detach partition m4`);
      await applySource(database.url, syncs);
      expect((await planOf(database.url, syncs)).steps).toEqual([]);
      await app.script(`insert into m4 values (3, 43)`);
      expect(await deltasOf(app, 'delta_public_m4')).toEqual(['1|41', '2|42', '3|43']);
      expect(await deltasOf(app, 'delta_public_m')).toEqual(['1|41', '2|42']);
    },
  );
});

test('tables in an inheritance tree each log their own rows, also those written through the parent', async () => {
  const database = await createDatabase(`create table p (id int primary key, n int);
    create table c (primary key (id)) inherits (p)`);
  await applySource(database.url);
  const app = await database.app();
  await app.script(
    `insert into p values (1); insert into c values (2); update p set n = 1; delete from p where id = 2`,
  );
  expect(await deltasOf(app, 'delta_public_p')).toEqual(['1', '1']);
  expect(await deltasOf(app, 'delta_public_c')).toEqual(['2', '2', '2']);
  await app.script(`truncate p`);
  expect(await app.rows(`select table_name from bucardo.truncation order by 1`)).toEqual([
    { table_name: 'c' },
    { table_name: 'p' },
  ]);
});

/** A real subscription to a table `t (id)` of another database on the same server, which needs its slot made beforehand. */
async function subscribe(subscriber: TestDatabase) {
  const publisher = await createDatabase(
    `create table t (id int primary key); create publication p for table t`,
  );
  const there = await publisher.app();
  const here = await subscriber.app();
  const name = `s_${subscriber.name}`;
  const { hostname, port, username } = new URL(publisher.url);
  await there.rows(`select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  await here.script(`create subscription ${name}
    connection 'host=${hostname} port=${port} user=${username} dbname=${publisher.name}'
    publication p with (create_slot = false, slot_name = '${name}', copy_data = false)`);
  return {
    there,
    end: async () => {
      await here.script(`alter subscription ${name} disable`);
      await here.script(`alter subscription ${name} set (slot_name = none)`);
      await here.script(`drop subscription ${name}`);
      await waitFor(async () => {
        const gone = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active`;
        return (await there.rows(gone, [name])).length === 1;
      });
    },
  };
}

test.each([
  ['a table', `create table t (id int primary key)`, 't'],
  [
    'a partition',
    `create table r (id int primary key) partition by range (id);
     create table t partition of r for values from (0) to (100)`,
    'r',
  ],
])(
  'what a subscription writes into %s is captured, but not what a lane writes',
  async (_what, sql, relation) => {
    const database = await createDatabase(sql);
    const syncs = [sourceSync({ tables: [`public.${relation}`] })];
    const delta = `delta_public_${relation}`;
    const app = await database.app();
    const subscription = await subscribe(database);
    try {
      await applySource(database.url, syncs);
      expect((await planOf(database.url, syncs)).steps).toEqual([]);
      await subscription.there.run(`insert into t values (1)`);
      await waitFor(async () => (await deltasOf(app, delta)).length > 0);
      await app.script(`set session_replication_role = replica; set bucardo.applying = 'on'; insert into t values (2);
      reset bucardo.applying; reset session_replication_role; insert into t values (3)`);
      expect(await deltasOf(app, delta)).toEqual(['1', '3']);
    } finally {
      await subscription.end();
    }
    expect((await applySource(database.url, syncs)).steps).toHaveLength(1);
    await app.script(`set session_replication_role = replica; insert into t values (4); reset session_replication_role;
    insert into t values (5)`);
    expect(await deltasOf(app, delta)).toEqual(['1', '3', '5']);
  },
);
