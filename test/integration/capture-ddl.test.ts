/**
 * Capture makes no write and no migration fail that would succeed without it: every way in which a key column can change, and
 * writes afterwards, in sessions that have written before and in new ones. Each script runs on a table that is not captured too.
 */
import { describe, expect, inject, test } from 'vitest';
import { parseSnapshot } from '../../shared/postgres/snapshot.ts';
import { applySource, deltasOf, planOf, sourceSync } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

const CAPTURES = ['auto', 'row'] as const;

/** Three values of each type. */
const TYPES: Readonly<Record<string, readonly [string, string, string]>> = {
  smallint: ['1', '2', '3'],
  integer: ['100001', '100002', '100003'],
  bigint: ['3000000001', '3000000002', '3000000003'],
  'numeric(10,2)': ['1.10', '1.20', '1.30'],
  'double precision': ['0.1', '0.2', '1e300'],
  text: ['a', 'B', 'ç'],
  'varchar(5)': ['x', 'yy', 'zzz'],
  'char(9)': ['p', 'q', 'r'],
  'text collate "C"': ['k', 'l', 'm'],
  boolean: ['true', 'false', 'true'],
  uuid: [
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13',
  ],
  date: ['2020-01-31', '2021-02-28', '2022-03-31'],
  timestamptz: ['2020-01-31 10:00+00', '2021-02-28 11:00+00', '2022-03-31 12:00:00.123456+00'],
  interval: ['1 day', '-1 mon +2 days', '3 years'],
  bytea: ['\\x00', '\\x01ff', '\\x02'],
  'int[]': ['{1}', '{1,2}', '{3}'],
  mood: ['sad', 'ok', 'happy'],
  positive: ['5', '6', '7'],
  citext: ['Aa', 'bB', 'cC'],
  pair: ['(1,a)', '(2,)', '(3,"c d")'],
};

const SETUP = `create extension citext; create type mood as enum ('sad', 'ok', 'happy');
  create domain positive as int check (value > 0); create type pair as (a int, b text);`;

function literal(value: string, type: string): string {
  return `'${value}'::${type}`;
}

describe.each(CAPTURES)('capture %s', (capture) => {
  test(
    'a key of every type becomes one of every other type, and is written',
    { timeout: 300_000 },
    async () => {
      const names = Object.keys(TYPES);
      const cases = names.flatMap((from, i) =>
        names.flatMap((to, j) => (i === j ? [] : [{ from, to, table: `t_${i}_${j}` }])),
      );
      const sync = sourceSync({ capture });
      const database = await createDatabase(`${SETUP}
      ${cases.map(({ from, table }) => `create table ${table} (id ${from} not null unique, note text);`).join('\n')}`);
      await applySource(database.url, [sync]);
      const old = await database.app();
      const fresh = await database.app();
      const admin = await database.app();
      // Deterministic whatever the application's settings are.
      await old.script(`set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set extra_float_digits = -3;
      set bytea_output = 'escape'; set timezone = 'Asia/Kolkata'`);
      for (const { from, to, table } of cases) {
        const [f1, f2] = TYPES[from]!;
        const [t1, t2, t3] = TYPES[to]!;
        await old.script(`insert into ${table} values (${literal(f1, from)}), (${literal(f2, from)});
        update ${table} set note = 'x'; delete from ${table} where id = ${literal(f2, from)};
        insert into ${table} values (${literal(f2, from)})`);
        await admin.script(`alter table ${table} alter id type ${to}
        using case id when ${literal(f1, from)} then ${literal(t1, to)} else ${literal(t2, to)} end`);
        for (const app of [old, fresh]) {
          await app.script(`delete from ${table} where id = ${literal(t1, to)};
          insert into ${table} values (${literal(t1, to)}); update ${table} set note = 'y';
          update ${table} set id = ${literal(t3, to)} where id = ${literal(t2, to)} and ${to !== 'boolean'};
          update ${table} set id = ${literal(t2, to)} where id = ${literal(t3, to)} and ${to !== 'boolean'}`);
        }
        // The new key is in the queue, whatever the type was for which the queue was made.
        const { captured } = await admin.row<{ captured: boolean }>(
          `select exists (select from bucardo.delta_public_${table}
           where id = concat(${literal(t1, to)})) as captured`,
        );
        expect(captured, `${from} to ${to}`).toBe(true);
      }
      expect(await admin.rows(`select from bucardo.truncation`)).toEqual([]);
      await applySource(database.url, [sync]);
      expect((await planOf(database.url, [sync])).steps).toEqual([]);
    },
  );
});

/** What is done to `t`, and how it is written then. `before` runs before it is captured. */
interface Migration {
  readonly title: string;
  readonly before: string;
  readonly writes?: string;
  /** The major that has it first. */
  readonly since?: number;
  /** The first major that allows it beside triggers with transition tables. */
  readonly statementsSince?: number;
  readonly migrate: string;
  readonly after: string;
  /** Keys that are in the queue then; undefined if they could not be captured. */
  readonly captured: readonly string[] | undefined;
}

const TABLE = `create table t (id int primary key, other int, note text)`;
const INSERT = `insert into t (id, other) values (1, 1), (2, 2)`;

const MIGRATIONS: readonly Migration[] = [
  {
    title: 'rename the key column',
    before: TABLE,
    migrate: 'alter table t rename id to key',
    after:
      'insert into t (key) values (3); update t set note = 1; update t set key = 4 where key = 3; delete from t',
    captured: undefined,
  },
  {
    title: 'drop the key column',
    before: TABLE,
    migrate: 'alter table t drop column id',
    after: 'insert into t (other) values (3); update t set note = 1; delete from t',
    captured: undefined,
  },
  {
    title: 'drop one column of the key',
    before: 'create table t (id int, other int, note text, primary key (id, other))',
    migrate: 'alter table t drop column other',
    after:
      'insert into t (id) values (3); update t set note = 1; update t set id = 4 where id = 3; delete from t',
    captured: undefined,
  },
  {
    title: 'drop the key column and add one of its name',
    before: TABLE,
    migrate: 'alter table t drop column id; alter table t add column id uuid',
    after: `insert into t (id) values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')`,
    captured: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  },
  {
    title: 'drop the primary key',
    before: TABLE,
    migrate: 'alter table t drop constraint t_pkey',
    after: 'insert into t (id) values (3)',
    captured: ['3'],
  },
  {
    title: 'another primary key, and NULL in the old one',
    before: TABLE,
    migrate: `alter table t drop constraint t_pkey; alter table t alter id drop not null;
      alter table t add primary key (other)`,
    after: `insert into t (id, other) values (null, 3); update t set note = 1 where id is null;
      update t set id = 7 where id is null`,
    captured: ['~', '7'],
  },
  {
    title: 'add identity, defaults, statistics and storage',
    before: 'create table t (id text primary key, other int, note text)',
    migrate: `alter table t alter id set default 'x'; alter table t alter id set statistics 10;
      alter table t alter id set storage external; alter table t alter id set (n_distinct = 5)`,
    after: 'insert into t (other) values (3)',
    captured: ['x'],
  },
  {
    title: 'add identity',
    before: TABLE,
    migrate: 'alter table t alter id add generated always as identity (start 100)',
    after: 'insert into t (other) values (3)',
    // The other session has taken 100.
    captured: ['101'],
  },
  {
    title: 'a generated key becomes an ordinary one',
    before:
      'create table t (id int generated always as (other * 10) stored primary key, other int, note text)',
    writes: 'insert into t (other) values (1), (2)',
    since: 13,
    migrate: 'alter table t alter id drop expression',
    after: 'insert into t (id, other) values (77, 7)',
    captured: ['77'],
  },
  {
    title: 'another collation, and the old one is dropped',
    before: `create collation mine (locale = 'C'); create table t (id text collate mine primary key, other int, note text)`,
    migrate: 'alter table t alter id type text collate "POSIX"; drop collation mine',
    after: `insert into t (id) values ('k')`,
    captured: ['k'],
  },
  {
    title: 'a constraint of the key’s domain that deltas would break',
    before: 'create domain d as int; create table t (id d primary key, other int, note text)',
    migrate: 'delete from t where id = 1; alter domain d add check (value > 1); alter domain d set not null',
    after: 'insert into t (id) values (3)',
    captured: ['3'],
  },
  {
    title: 'the key’s domain gives way to its base and is dropped',
    before: 'create domain d as int; create table t (id d primary key, other int, note text)',
    migrate: 'alter table t alter id type int; drop domain d',
    after: 'insert into t (id) values (3)',
    captured: ['3'],
  },
  {
    title: 'the key’s enum gives way to text and is dropped',
    before: `create type d as enum ('1', '2', '3'); create table t (id d primary key, other int, note text)`,
    writes: `insert into t (id) values ('1'), ('2')`,
    migrate: 'alter table t alter id type text; drop type d',
    after: `insert into t (id) values ('3')`,
    captured: ['3'],
  },
  {
    title: 'values are added to the key’s enum and renamed, and the type moves',
    before: `create schema s; create type d as enum ('1', '2'); create table t (id d primary key, other int, note text)`,
    writes: `insert into t (id) values ('1'), ('2')`,
    migrate: `alter type d add value '3'; alter type d rename value '1' to 'one'; alter type d rename to e; alter type e set schema s`,
    after: `insert into t (id) values ('3'); delete from t where id = 'one'`,
    captured: ['3', 'one'],
  },
  {
    title: 'an attribute of the key’s composite type is changed',
    before: `create type d as (a int, b int); create table t (id d primary key, other int, note text)`,
    writes: `insert into t (id) values ('(1,2)'), ('(3,4)')`,
    migrate: 'alter type d rename attribute a to c',
    after: `insert into t (id) values ('(5,6)')`,
    captured: ['(5,6)'],
  },
  {
    title: 'the extension of the key’s type is dropped',
    before: `create extension citext; create table t (id citext primary key, other int, note text)`,
    writes: `insert into t (id) values ('A'), ('b')`,
    migrate: 'alter table t alter id type text; drop extension citext',
    after: `insert into t (id) values ('c')`,
    captured: ['c'],
  },
  {
    title: 'the table and its schema are renamed and moved',
    before: `create schema s; ${TABLE}`,
    migrate:
      'alter table t rename to u; alter table u set schema s; alter schema s rename to r; create view t as select * from r.u',
    after: 'insert into t (id) values (3); update t set note = 1 where id = 3',
    captured: ['3'],
  },
  {
    title: 'logged, clustered, with row security, of another owner',
    before: TABLE,
    migrate: `alter table t set unlogged; alter table t cluster on t_pkey; cluster t; alter table t enable row level security;
      alter table t force row level security; alter table t replica identity full; vacuum full t; alter table t set logged`,
    after: 'insert into t (id) values (3)',
    captured: ['3'],
  },
  {
    title: 'columns come and go, with a volatile default and a rewrite',
    before: TABLE,
    migrate: `alter table t add column more float default random(); alter table t drop column other;
      alter table t alter note type int using 1; alter table t add column again int`,
    after: 'insert into t (id, again) values (3, 3); update t set again = 4 where id = 3',
    captured: ['3'],
  },
  {
    title: 'the table becomes a partition',
    statementsSince: 13,
    before: TABLE,
    migrate: `create table parent (id int primary key, other int, note text) partition by range (id);
      alter table parent attach partition t for values from (0) to (100)`,
    after: 'insert into t (id) values (3); update t set note = 1 where id = 3',
    captured: ['3'],
  },
  {
    title: 'the table gets a parent and a child',
    statementsSince: 13,
    before: TABLE,
    migrate:
      'create table parent (id int not null); alter table t inherit parent; create table child () inherits (t)',
    after: 'insert into t (id) values (3)',
    captured: ['3'],
  },
  {
    title: 'the table is dropped with what its key is made of',
    before: `create type d as enum ('1', '2'); create table t (id d primary key, other int, note text)`,
    writes: `insert into t (id) values ('1'), ('2')`,
    migrate: 'drop table t; drop type d; create table t (id int)',
    after: 'insert into t (id) values (3)',
    captured: [],
  },
];

describe.each(CAPTURES)('capture %s, while writers go on', (capture) => {
  test.each(
    MIGRATIONS.filter(
      ({ since = 0, statementsSince = 0 }) =>
        inject('serverMajor') >= (capture === 'row' ? since : Math.max(since, statementsSince)),
    ),
  )('$title', async (migration) => {
    const { before, writes = INSERT, migrate, after, captured } = migration;
    // The script is one that succeeds without us.
    const alone = await (await createDatabase(before)).app();
    for (const sql of [writes, ...migrate.split(';'), after]) await alone.script(sql);

    const sync = sourceSync({ tables: ['public.t'], capture });
    const database = await createDatabase(before);
    await applySource(database.url, [sync]);
    const old = await database.app();
    const fresh = await database.app();
    const admin = await database.app();
    await old.script(writes);
    await old.script(`begin; update t set note = null; delete from t; rollback`);
    for (const sql of migrate.split(';')) await admin.script(sql);
    await admin.script(`delete from bucardo.delta_public_t`);
    for (const [position, app] of [old, fresh].entries()) {
      await app.script(`begin; ${after}; ${position === 0 ? 'rollback' : 'commit'}`);
    }
    const lost = await admin.rows(`select distinct reason from bucardo.truncation`);
    if (captured === undefined) {
      expect(lost).toEqual([{ reason: 'uncaptured' }]);
    } else {
      expect(lost).toEqual([]);
      expect(new Set(await deltasOf(admin, 'delta_public_t'))).toEqual(new Set(captured));
    }
  });

  test('a partitioned table’s key is widened, and sessions that have written it write on', async () => {
    const lane = await createLaneFixture({
      schema: `create table t (id int, note text, place int default 1, primary key (id, place)) partition by range (place);
        create table t_1 partition of t for values from (0) to (2)`,
    });
    await lane.source.script(
      `insert into t values (1), (2); update t set note = 'a'; insert into t_1 values (3)`,
    );
    for (const side of [lane.target, await lane.session(lane.sourceUrl)]) {
      await side.script(`alter table t alter id type bigint`);
    }
    await lane.source.script(`insert into t values (3000000000); update t set id = 4000000000 where id = 2;
      insert into t_1 values (3000000001); delete from t where id = 1`);
    await lane.run();
    await lane.expectEqual();
    await lane.apply();
    await lane.source.script(`insert into t values (3000000002)`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.source.rows(`select from bucardo.copy_needed`)).toEqual([]);
  });

  test('a key column that was away for a while leaves its table in need of a copy', async () => {
    const lane = await createLaneFixture({ schema: TABLE });
    await lane.source.script(INSERT);
    await lane.run();
    await lane.source.script(`alter table t rename id to key; insert into t (key) values (3), (4)`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.t', code: 'BUC-KEY-CHANGED' }]);
    await lane.source.script(`alter table t rename key to id; insert into t (id) values (5)`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    expect(await lane.source.rows(`select table_name, reason from bucardo.copy_needed`)).toEqual([
      { table_name: 't', reason: 'uncaptured' },
    ]);
    expect(await lane.target.rows(`select id from t order by id`)).toEqual([{ id: 1 }, { id: 2 }, { id: 5 }]);
  });
});

test.each([
  ['integer', 'bigint', '1', 'level'],
  ['bigint', 'integer', '3000000000', 'copy'],
  ['varchar(10)', 'text', 'a', 'level'],
  ['text', 'integer', '12', 'level'],
  ['text', 'uuid', 'a', 'copy'],
  ['integer', 'text', '1', 'level'],
  ['timestamp', 'timestamptz', '2020-01-01', 'copy'],
  ['boolean', 'text', 'true', 'copy'],
] as const)(
  'deltas of a key that was %s and is %s now, %s among them: %s',
  async (from, to, value, outcome) => {
    const lane = await createLaneFixture({ schema: `create table t (id ${from} primary key, note text)` });
    await lane.source.script(`insert into t values ('${value}'); delete from t`);
    for (const side of [lane.source, lane.target]) {
      await side.script(`alter table t alter id type ${to} using null::${to}`);
    }
    await lane.apply();
    const { keys, needed } = await lane.source.row<{ keys: number; needed: number }>(
      `select (select count(*)::int from bucardo.delta_public_t) as keys,
       (select count(*)::int from bucardo.copy_needed where reason = 'uncaptured') as needed`,
    );
    expect({ keys, needed }).toEqual(outcome === 'level' ? { keys: 2, needed: 0 } : { keys: 0, needed: 1 });
    await lane.run();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  },
);

test('a queue of an earlier version, with types of its own, becomes text; a run under way does not pass over it', async () => {
  const lane = await createLaneFixture({
    schema: `create collation mine (provider = icu, locale = 'und', deterministic = false);
      create table t (id int, at timestamptz, name text collate mine, primary key (id, at, name))`,
  });
  const mark = async () =>
    (await lane.source.row<{ mark: string }>(`select mark::text from bucardo.progress`)).mark;
  await lane.run();
  await lane.source.script(`insert into t values (1, '2020-01-01', 'Ä');
    alter table bucardo.delta_public_t alter id type int using id::int, alter at type timestamptz using at::timestamptz,
      alter name type text collate mine;
    update bucardo.relation set key_types = null`);
  const before = await mark();
  await lane.apply();
  // Of the same meaning, but not what a run under way has read.
  expect(await mark()).not.toBe(before);
  expect(parseSnapshot(await mark())).toEqual(parseSnapshot(before));
  expect(
    await lane.source.rows(
      `select distinct format_type(atttypid, atttypmod) as type, collname as collation
       from pg_attribute join pg_collation c on c.oid = attcollation where attrelid = 'bucardo.delta_public_t'::regclass and attname in ('id', 'at', 'name')`,
    ),
  ).toEqual([{ type: 'text', collation: 'default' }]);
  await lane.run();
  await lane.expectEqual();
  expect(await lane.target.rows(`select from t`)).toHaveLength(1);
});

test('a value of a key’s enum that is renamed while its rows wait holds its own table only, and says so', async () => {
  const lane = await createLaneFixture({
    schema: `create type d as enum ('a', 'b'); create table t (id d primary key); create table o (id int primary key)`,
  });
  await lane.source.script(`insert into t values ('a'); insert into o values (1)`);
  for (const side of [lane.source, lane.target]) await side.script(`alter type d rename value 'a' to 'c'`);
  await lane.run();
  expect(await lane.held()).toMatchObject([{ table: 'public.t', code: 'BUC-ROW-REFUSED' }]);
  await lane.expectEqual(['public.o']);
});
