/** Every way in which an application can change rows leaves the right keys behind. */
import { Readable } from 'node:stream';
import { describe, expect, inject, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import {
  applySource,
  deltasOf,
  forgetDeltas,
  sourceDatabase,
  sourceSync,
  withSource,
} from '../support/captured-source.ts';

const TABLE = `create table t (id int primary key, note text)`;
const server = inject('serverMajor');

describe.each(['auto', 'row'] as const)('capture %s', (capture) => {
  const source = async (sql: string, tables = ['public.*']) => {
    const database = await createDatabase(sql);
    await applySource(database.url, [sourceSync({ tables, capture })]);
    const app = await database.app();
    return { app, database };
  };

  test('an insert, an update and a delete log the key each', async () => {
    const { app } = await source(TABLE);
    await app.run(`insert into t values (1, 'a'), (2, 'b')`);
    await app.run(`update t set note = 'c' where id = 1`);
    await app.run(`delete from t where id = 2`);
    expect(await deltasOf(app, 'delta_public_t')).toEqual(['1', '2', '1', '2']);
  });

  test('an upsert logs inserted and updated keys, and nothing where it did nothing', async () => {
    const { app } = await source(TABLE);
    await app.run(`insert into t values (1, 'a')`);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(
      `insert into t values (1, 'x'), (2, 'y') on conflict (id) do update set note = excluded.note`,
    );
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '2']);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`insert into t values (1, 'x') on conflict do nothing`);
    expect(await deltasOf(app, 'delta_public_t')).toEqual([]);
  });

  test.skipIf(server < 15)('MERGE logs what it inserts, updates and deletes', async () => {
    const { app } = await source(TABLE);
    await app.run(`insert into t values (1, 'a'), (2, 'b'), (3, 'c')`);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`merge into t using (values (1), (2), (4)) s(id) on t.id = s.id
      when matched and s.id = 1 then update set note = 'x'
      when matched then delete
      when not matched then insert values (s.id, 'new')`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '2', '4']);
  });

  test('COPY logs every key', async () => {
    const { app } = await source(TABLE);
    await app.copyIn(`copy t from stdin`, Readable.from(['1\ta\n', '2\tb\n']));
    expect(await deltasOf(app, 'delta_public_t')).toEqual(['1', '2']);
  });

  test('several changes of one table in one statement are all logged', async () => {
    const { app } = await source(TABLE);
    await app.run(`insert into t values (1, 'a'), (2, 'b')`);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`with d as (delete from t where id = 1 returning id), u as (update t set note = 'z' where id = 2)
      insert into t select id + 10, 'moved' from d`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '11', '2']);
  });

  test('a changed key logs the old one and the new one, also when all keys move up by one', async () => {
    const { app } = await source(
      `create table t (a int not null, b text not null, n int, unique (a, b) deferrable, primary key (b, a))`,
    );
    await app.run(`insert into t values (1, 'x'), (2, 'y')`);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`update t set a = a + 1`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['x|1', 'x|2', 'y|2', 'y|3']);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`update t set n = 1`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['x|2', 'y|3']);
  });

  test('a key that a BEFORE trigger changes behind the statement’s back is logged', async () => {
    const { app } = await source(`${TABLE};
      create function move() returns trigger language plpgsql as $$ begin new.id := new.id + 100; return new; end $$;
      create trigger move before update on t for each row execute function move()`);
    await app.run(`insert into t values (1, 'a')`);
    await app.run(`update t set note = 'b'`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '1', '101']);
  });

  test('NULL in a unique key is a value like any other, also when it comes or goes', async () => {
    const { app } = await source(`create table t (a int, b int, note text, unique (a, b))`);
    await app.run(`insert into t values (1, null, 'x'), (null, null, 'y')`);
    expect(await deltasOf(app, 'delta_public_t')).toEqual(['1|~', '~|~']);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`update t set b = 7 where a = 1`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1|7', '1|~']);
    await forgetDeltas(app, 'delta_public_t');
    await app.run(`update t set b = null where a = 1`);
    await app.run(`update t set note = 'z' where a is null`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1|7', '1|~', '~|~']);
  });

  test('keys of extension types, uuid, collated and domain types are captured as text', async () => {
    const { app } = await source(`
      create extension citext; create extension hstore;
      create domain code as varchar(3) check (value <> '');
      create table c (id citext primary key);
      create table h (id hstore primary key);
      create table u (id uuid primary key);
      create table d (id code collate "POSIX", n numeric(8, 2), primary key (id, n))`);
    await app.script(`insert into c values ('Abc'); update c set id = 'ABC';
      insert into h values ('a=>1'); update h set id = 'a=>2';
      insert into u values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
      insert into d values ('abc', 1.5); update d set n = 1.50`);
    expect((await deltasOf(app, 'delta_public_c')).toSorted()).toEqual(['ABC', 'Abc', 'Abc']);
    expect(await deltasOf(app, 'delta_public_h')).toHaveLength(3);
    expect(await deltasOf(app, 'delta_public_u')).toEqual(['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']);
    expect((await deltasOf(app, 'delta_public_d'))[0]).toBe('abc|1.50');
    // Nothing of the queue depends on a type, a domain or a collation of the application's.
    const types = await app.rows<{ type: string }>(
      `select distinct atttypid::regtype::text || ' ' || collname as type
        from pg_attribute join pg_collation c on c.oid = attcollation
        where attrelid in ('bucardo.delta_public_d'::regclass, 'bucardo.delta_public_c'::regclass) and attname <> 'author'`,
    );
    expect(types).toEqual([{ type: 'text default' }]);
  });

  test('quoted, non-ASCII, over-long and colliding names in several schemas are kept apart', async () => {
    const long = 'I_have_very_very_long_name_but_do_not_ignore_me_please';
    const { app } = await source(
      `create schema "a.b"; create schema a; create schema "o'dd \\ ""x"""; create schema a_b;
      create table public."Mixed Case" ("Key One" int primary key);
      create table public."${long}" (id int primary key);
      create table public."${'ü'.repeat(31)}" ("ß" int primary key);
      create table a.b_c (id int primary key);
      create table a_b.c (id int primary key);
      create table "o'dd \\ ""x"""."t'""\\" ("k'""\\" int primary key);
      create table "a.b"."select" ("order" int primary key)`,
      ['*.*'],
    );
    await app.script(`insert into public."Mixed Case" values (1); insert into public."${long}" values (2);
      insert into public."${'ü'.repeat(31)}" values (3); update public."${'ü'.repeat(31)}" set "ß" = 33;
      insert into a.b_c values (4); insert into a_b.c values (5);
      insert into "o'dd \\ ""x"""."t'""\\" values (6); truncate "o'dd \\ ""x"""."t'""\\";
      insert into "a.b"."select" values (7)`);
    expect(await deltasOf(app, 'delta_public_Mixed Case')).toEqual(['1']);
    expect(await deltasOf(app, 'delta_public_I_have_very_very_long_name_but_do_not_i!c920c858de')).toEqual([
      '2',
    ]);
    expect((await deltasOf(app, `delta_public_${'ü'.repeat(25)}`)).toSorted()).toEqual(['3', '3', '33']);
    const names = await app.rows<{ schema: string; delta: string }>(
      `select schema_name as schema, delta_name as delta from bucardo.relation where schema_name in ('a', 'a_b')
        order by schema_name collate "C"`,
    );
    expect(names[0]?.delta).toBe('delta_a_b_c');
    expect(names[1]?.delta).not.toBe('delta_a_b_c');
    expect(await deltasOf(app, 'delta_a_b_c')).toEqual(['4']);
    expect(await deltasOf(app, names[1]?.delta ?? '')).toEqual(['5']);
    expect(await deltasOf(app, `delta_o'dd \\ x_t'\\`)).toEqual(['6']);
    expect(await deltasOf(app, 'delta_a_b_select')).toEqual(['7']);
    const truncated = await app.rows(`select schema_name, table_name from bucardo.truncation`);
    expect(truncated).toEqual([{ schema_name: `o'dd \\ "x"`, table_name: `t'"\\` }]);
  });

  test('foreign keys that act on other tables leave the keys that they change', async () => {
    const { app } = await source(`
      create table p (id int primary key);
      create table c (id int primary key, p int references p on delete cascade on update cascade);
      create table k (p int references p on delete cascade on update cascade, n int, primary key (p, n))`);
    await app.script(
      `insert into p values (1), (2); insert into c values (10, 1), (20, 2); insert into k values (1, 1), (2, 2)`,
    );
    await forgetDeltas(app, 'delta_public_c');
    await forgetDeltas(app, 'delta_public_k');
    await app.run(`update p set id = id + 5`);
    await app.run(`delete from p where id = 7`);
    expect((await deltasOf(app, 'delta_public_c')).toSorted()).toEqual(['10', '20', '20']);
    expect((await deltasOf(app, 'delta_public_k')).toSorted()).toEqual(['1|1', '2|2', '6|1', '7|2', '7|2']);
  });

  test('what is rolled back leaves nothing, be it a transaction or a savepoint', async () => {
    const { app } = await source(TABLE);
    await app.script(`begin; insert into t values (1, 'a'); rollback`);
    await app.script(`begin; insert into t values (2, 'a'); savepoint s; insert into t values (3, 'a');
      truncate t; rollback to s; insert into t values (4, 'a'); commit`);
    expect(await deltasOf(app, 'delta_public_t')).toEqual(['2', '4']);
    expect(await app.rows(`select from bucardo.truncation`)).toHaveLength(0);
    const ids = await app.rows<{ txid: string }>(`select distinct txid::text from bucardo.delta_public_t`);
    expect(ids).toHaveLength(1);
  });

  test('a truncation is recorded once per transaction', async () => {
    const { app } = await source(TABLE);
    await app.script(`begin; truncate t; insert into t values (1, 'a'); truncate t; commit; truncate t`);
    const rows = await app.rows(`select schema_name, table_name, author from bucardo.truncation`);
    expect(rows).toEqual([
      { schema_name: 'public', table_name: 't', author: null },
      { schema_name: 'public', table_name: 't', author: null },
    ]);
  });

  test('replicated writes, by marker or in the replica role, are not captured', async () => {
    const { app } = await source(TABLE);
    await app.script(`set bucardo.applying = 'on'; insert into t values (1, 'a'); update t set id = 2; truncate t;
      reset bucardo.applying`);
    await app.script(`set session_replication_role = replica; insert into t values (3, 'a'); delete from t; truncate t;
      reset session_replication_role`);
    expect(await deltasOf(app, 'delta_public_t')).toEqual([]);
    expect(await app.rows(`select from bucardo.truncation`)).toHaveLength(0);
    await app.script(
      `begin; set local bucardo.applying = 'on'; insert into t values (4, 'a'); commit; insert into t values (5, 'a')`,
    );
    expect(await deltasOf(app, 'delta_public_t')).toEqual(['5']);
  });

  test('a role that may only write the table writes it, and can do nothing else with the queue', async () => {
    const { app, database } = await source(TABLE);
    const role = `writer_${database.name}`;
    await app.script(
      `create role ${role} login; grant select, insert, update, delete, truncate on t to ${role}`,
    );
    await withSource(database.urlAs(role), async (writer) => {
      await writer.script(`insert into public.t values (1, 'a'), (2, 'b'); update public.t set id = 3 where id = 1;
        delete from public.t; truncate public.t`);
      await expect(writer.rows(`select from bucardo.delta_public_t`)).rejects.toMatchObject({
        code: 'BUC-DB-RIGHTS',
      });
      await expect(writer.rows(`select bucardo.tick()`)).rejects.toMatchObject({ code: 'BUC-DB-RIGHTS' });
    });
    const { callable } = await app.row<{ callable: boolean }>(
      `select bool_or(has_function_privilege($1, p.oid, 'execute')) as callable
        from pg_proc p where p.pronamespace = 'bucardo'::regnamespace`,
      [role],
    );
    expect(callable).toBe(false);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '1', '2', '2', '3', '3']);
    await app.script(`drop owned by ${role}; drop role ${role}`);
  });

  test('an update of no rows takes no transaction id and wakes nobody', async () => {
    const { app } = await source(TABLE);
    await app.script(
      `begin; update t set note = 'x'; delete from t; insert into t select 1, 'a' where false`,
    );
    const { assigned } = await app.row<{ assigned: string | null }>(
      `select txid_current_if_assigned()::text as assigned`,
    );
    expect(assigned).toBeNull();
    await app.script(`commit`);
  });

  test('a source that is polled can prepare transactions; one that is notified hears of changes', async () => {
    const database = await createDatabase(TABLE);
    await applySource(database.url, [sourceSync({ capture })], sourceDatabase('poll'));
    const app = await database.app();
    await app.script(`begin; insert into t values (1, 'a'); update t set id = 2; truncate t;
      prepare transaction 'p_${database.name}'`);
    await app.script(`commit prepared 'p_${database.name}'`);
    expect((await deltasOf(app, 'delta_public_t')).toSorted()).toEqual(['1', '1', '2']);

    const heard: string[] = [];
    app.onNotification((channel, payload) => heard.push(`${channel} ${payload}`));
    await app.script(`listen bucardo; insert into t values (3, 'a')`);
    expect(heard).toEqual([]);
    const plan = await applySource(database.url, [sourceSync({ capture })], sourceDatabase('notify'));
    expect(plan.steps.map(({ title }) => title)).toEqual(['Bring the capture of public.t up to date']);
    await app.run(`insert into t values (4, 'a')`);
    await app.rows(`select 1`);
    expect(heard).toEqual(['bucardo wake']);
    await app.script(`select setval('bucardo.wake', 0)`);
    await app.run(`insert into t values (5, 'a')`);
    await app.rows(`select 1`);
    expect(heard).toHaveLength(1);
    await app.script(`select setval('bucardo.wake', 1)`);
    await app.run(`update t set note = 'x' where false`);
    await app.rows(`select 1`);
    expect(heard).toHaveLength(1);
    await app.script(`truncate t`);
    await app.rows(`select 1`);
    expect(heard).toHaveLength(2);
  });
});

test('a repeatable-read writer sees that the source was armed after its snapshot', async () => {
  const database = await createDatabase(TABLE);
  await applySource(database.url);
  const app = await database.app();
  const other = await database.app();
  const heard: string[] = [];
  other.onNotification((_channel, payload) => heard.push(payload));
  await other.script(`listen bucardo; select setval('bucardo.wake', 0)`);
  await app.script(`begin isolation level repeatable read; select count(*) from t`);
  await other.script(`select setval('bucardo.wake', 1)`);
  await app.script(`insert into t values (1, 'a'); commit`);
  await other.rows(`select 1`);
  expect(heard).toEqual(['wake']);
});

test('one statement has one time for all its rows', async () => {
  const database = await createDatabase(TABLE);
  await applySource(database.url);
  const app = await database.app();
  await app.run(`insert into t select i, 'x' from generate_series(1, 10000) i`);
  const { times, rows } = await app.row<{ times: number; rows: number }>(
    `select count(distinct txntime)::int as times, count(*)::int as rows from bucardo.delta_public_t`,
  );
  expect({ times, rows }).toEqual({ times: 1, rows: 10_000 });
});
