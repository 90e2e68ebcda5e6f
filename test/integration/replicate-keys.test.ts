/** What a key is: repeats, swaps, NULLs, types whose equal values differ, identity and generated columns, odd names. */
import { describe, expect, inject, test } from 'vitest';
import { createLaneFixture } from '../support/lane-fixture.ts';

const major = inject('serverMajor');

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test('re-applying a batch changes nothing', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table orders (id int primary key, note text);
        create table sets (a int, b int, note text, unique (a, b));
        create table keys_only (a int, b text, primary key (a, b))`,
      targetRole,
    });
    await lane.source.script(`
      insert into orders select n, 'note ' || n from generate_series(1, 20) n;
      insert into sets values (1, null, 'x'), (1, null, 'y'), (1, 1, 'z');
      insert into keys_only select n, 'k' from generate_series(1, 20) n;
      delete from orders where id = 7;
      delete from sets where note = 'y'`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.run(`update bucardo.progress set mark = null`);
    expect((await lane.run()).batches).toBe(1);
    await lane.expectEqual();
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '19' });
    expect(await lane.target.row(`select count(*) from keys_only`)).toEqual({ count: '20' });
    expect(await lane.rejected()).toEqual([]);
  });

  test('re-applying thousands of rows changes nothing', async () => {
    const lane = await createLaneFixture({
      schema: `create table orders (id int primary key, note text); create table keys_only (a int primary key)`,
      targetRole,
    });
    await lane.source.script(`
      insert into orders select n, 'note ' || n from generate_series(1, 3000) n;
      insert into keys_only select n from generate_series(1, 3000) n;
      delete from orders where id % 10 = 0`);
    await lane.run();
    await lane.source.run(`update bucardo.progress set mark = null`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '2700' });
  });

  test('a key that is deleted and inserted again, and keys that change places, arrive as they are', async () => {
    const lane = await createLaneFixture({
      schema: `create table orders (id int primary key, note text)`,
      targetRole,
    });
    await lane.source.script(`insert into orders values (1, 'one'), (2, 'two'), (3, 'three')`);
    await lane.run();
    await lane.source.script(`
      delete from orders where id = 1; insert into orders values (1, 'again');
      begin;
      update orders set id = -2 where id = 2; update orders set id = 2 where id = 3; update orders set id = 3 where id = -2;
      commit`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select * from orders order by id`)).toEqual([
      { id: 1, note: 'again' },
      { id: 2, note: 'three' },
      { id: 3, note: 'two' },
    ]);
  });

  test.each([2, 3_000])('unique values that %i rows have swapped arrive', async (count) => {
    const lane = await createLaneFixture({
      schema: `create table people (id int primary key, email text unique, note text)`,
      targetRole,
    });
    await lane.source.script(
      `insert into people select n, 'p' || n, 'note' from generate_series(1, ${count}) n`,
    );
    await lane.run();
    await lane.source.script(`
      begin;
      update people set email = 'x' || id;
      update people set email = 'p' || (${count} + 1 - id), note = 'swapped';
      commit`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('a unique value that one row gave up and another took arrives', async () => {
    const lane = await createLaneFixture({
      schema: `create table people (id int primary key, email text unique)`,
      targetRole,
    });
    await lane.source.script(`insert into people values (1, 'a'), (2, 'b'), (5, 'e')`);
    await lane.run();
    await lane.source.script(`
      delete from people where id = 1; insert into people values (3, 'a');
      update people set email = 'c' where id = 2; insert into people values (0, 'b'), (4, 'd');
      update people set email = 'f' where id = 5; update people set email = 'e' where id = 0`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('columns that only the target has keep their values, also when rows swap unique values', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table people (id int primary key, email text unique)`,
        target: `create table people (id int primary key, email text unique, local text default 'new')`,
      },
      targetRole,
    });
    await lane.source.script(`insert into people values (1, 'a'), (2, 'b'), (3, 'c')`);
    await lane.run();
    await lane.target.script(`update people set local = 'kept ' || id where id < 3`);
    await lane.source.script(`
      update people set email = 'z' where id = 1; update people set email = 'a' where id = 2;
      update people set email = 'b' where id = 1;
      update people set email = 'd' where id = 3; insert into people values (4, 'c')`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select id, local from people order by id`)).toEqual([
      { id: 1, local: 'kept 1' },
      { id: 2, local: 'kept 2' },
      { id: 3, local: 'new' },
      { id: 4, local: 'new' },
    ]);
  });

  test('rows whose unique key has NULLs are kept as sets', async () => {
    const lane = await createLaneFixture({
      schema: `create table sets (a int, b text, note text, unique (a, b))`,
      targetRole,
    });
    await lane.source.script(`
      insert into sets values (1, null, 'x'), (1, null, 'y'), (null, null, 'n'), (null, null, 'm'), (2, 'b', 'z')`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update sets set note = 'changed' where note = 'x';
      delete from sets where note = 'm';
      update sets set b = 'was null' where note = 'y';
      update sets set a = null, b = null where note = 'z'`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(
      `insert into sets select nullif(n % 5, 0), nullif(n::text, '7'), 'many ' || n from generate_series(1, 2000) n`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`delete from sets where a is null`);
    await lane.run();
    await lane.expectEqual();
  });

  test('keys that are equal to their type but look different arrive as they look at the source', async () => {
    const lane = await createLaneFixture({
      schema: `
        create extension citext;
        create table words (word citext primary key, note text);
        create table amounts (amount numeric primary key, note text);
        create table floats (f float8 primary key);
        create table padded (code char(4) primary key, note text)`,
      targetRole,
    });
    await lane.source.script(`
      insert into words values ('Alpha', '1'), ('beta', '2');
      insert into amounts values (1.0, 'a'), (2, 'b');
      insert into floats values (0), (1);
      insert into padded values ('a', '1')`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update words set word = 'ALPHA' where word = 'alpha';
      update amounts set amount = 1.000, note = 'scaled' where amount = 1;
      update floats set f = '-0' where f = 0;
      update padded set note = '2';
      delete from words where word = 'BETA'; insert into words values ('Beta', '3')`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select word::text from words order by 1`)).toEqual([
      { word: 'ALPHA' },
      { word: 'Beta' },
    ]);
  });

  test('identity columns are written as they are, as keys and as plain columns', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table always_key (id int generated always as identity primary key, note text);
        create table default_key (id int generated by default as identity primary key, note text);
        create table plain (id int primary key, n int generated always as identity, note text)`,
      targetRole,
    });
    await lane.source.script(`
      insert into always_key (note) select 'a' from generate_series(1, 5);
      insert into default_key (note) select 'a' from generate_series(1, 5);
      insert into plain (id, note) select n, 'a' from generate_series(1, 5) n`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update always_key set note = 'b' where id > 2; delete from always_key where id = 1;
      update default_key set id = 50 where id = 5;
      update plain set note = 'b' where id > 2; delete from plain where id = 1; insert into plain (id) values (1)`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(
      `insert into plain (id) select n from generate_series(100, 2000) n; update plain set note = 'c'`,
    );
    await lane.run();
    await lane.expectEqual();
  });

  test('generated columns are computed at the target, and copied where the target has an ordinary one', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `
          create table both_sides (id int primary key, a int, b int generated always as (a * 2) stored);
          create table here (id int primary key, a int, b int generated always as (a * 2) stored);
          create table there (id int primary key, a int, b int)`,
        target: `
          create table both_sides (id int primary key, a int, b int generated always as (a * 2) stored);
          create table here (id int primary key, a int, b int);
          create table there (id int primary key, a int, b int generated always as (a * 3) stored)`,
      },
      targetRole,
    });
    for (const table of ['both_sides', 'here', 'there']) {
      await lane.source.script(`insert into ${table} (id, a) select n, n from generate_series(1, 5) n`);
    }
    await lane.run();
    await lane.source.script(
      `update both_sides set a = 10; update here set a = 10; update there set a = 10, b = 1`,
    );
    await lane.run();
    await lane.expectEqual(['public.both_sides', 'public.here']);
    expect(await lane.target.rows(`select distinct a, b from there`)).toEqual([{ a: 10, b: 30 }]);
    for (const table of ['both_sides', 'here', 'there']) {
      await lane.source.script(`insert into ${table} (id, a) select n, n from generate_series(6, 1500) n`);
    }
    await lane.run();
    await lane.expectEqual(['public.both_sides', 'public.here']);
  });

  test.skipIf(major < 18)('virtual generated columns are left to each side', async () => {
    const lane = await createLaneFixture({
      schema: `create table orders (id int primary key, a int, b int generated always as (a * 2) virtual)`,
      targetRole,
    });
    await lane.source.script(`insert into orders (id, a) select n, n from generate_series(1, 1500) n`);
    await lane.run();
    await lane.source.script(`update orders set a = 5 where id < 10`);
    await lane.run();
    await lane.expectEqual();
  });

  test.each([
    ['ordinary', 'partitioned'],
    ['partitioned', 'ordinary'],
    ['partitioned', 'partitioned'],
  ])('an %s table arrives in a %s one', async (from, to) => {
    const shapes: Readonly<Record<string, string>> = {
      ordinary: `create table events (id int, region text, note text, primary key (id, region))`,
      partitioned: `
        create table events (id int, region text, note text, primary key (id, region)) partition by list (region);
        create table events_eu partition of events for values in ('eu', 'uk');
        create table events_us partition of events for values in ('us') partition by range (id);
        create table events_us_1 partition of events_us for values from (0) to (100);
        create table events_us_2 partition of events_us default`,
    };
    const lane = await createLaneFixture({
      schema: { source: shapes[from] ?? '', target: shapes[to] ?? '' },
      tables: ['public.events'],
      targetRole,
    });
    await lane.source.script(`
      insert into events select n, (array['eu', 'us', 'uk'])[n % 3 + 1], 'n' from generate_series(1, 300) n`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update events set region = 'us' where region = 'uk';
      update events set note = 'changed' where id % 2 = 0;
      delete from events where id % 7 = 0;
      insert into events select n, 'eu', 'more' from generate_series(1000, 3000) n`);
    await lane.run();
    await lane.expectEqual();
  });

  test('a parent and a child by inheritance keep their own rows', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table parent (id int primary key, note text);
        create table child (extra text, primary key (id)) inherits (parent)`,
      targetRole,
    });
    await lane.source.script(`
      insert into parent values (1, 'p'), (2, 'p'); insert into child values (2, 'c', 'x'), (3, 'c', 'x')`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`update parent set note = 'both'; delete from only parent where id = 2`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select id from only parent`)).toEqual([{ id: 1 }]);
    expect(await lane.target.rows(`select id, note from child order by id`)).toEqual([
      { id: 2, note: 'both' },
      { id: 3, note: 'both' },
    ]);
  });

  test('names need not be plain, and columns may be called like ours', async () => {
    const lane = await createLaneFixture({
      schema: `
        create schema "Other ""schema"; create schema second;
        create table "Other ""schema"."Ta.b'le \\" ("Key" int, "sel ect" text, gone boolean, n int, c0 text, t text, s text, d text, k int,
          "txntime " int, bucardo text, dropped int, "Ünï" text, "%I$1" text, primary key ("sel ect", "Key"));
        alter table "Other ""schema"."Ta.b'le \\" drop column dropped;
        create table second.orders (id int primary key, note text);
        create table public.orders (id int primary key, dropped int, note text);
        alter table public.orders drop column dropped;
        create unlogged table unlogged (id int primary key)`,
      tables: ['public.*', 'second.*', 'Other "schema.*'],
      targetRole,
    });
    const write = (from: number, to: number): string => `
      insert into "Other ""schema"."Ta.b'le \\" ("Key", "sel ect", gone, n, c0, t, s, d, k, "Ünï", "%I$1")
        select n, 'text', true, n, 'c', 't', 's', 'd', n, 'ü', '%' from generate_series(${from}, ${to}) n;
      insert into second.orders select n, 'second' from generate_series(${from}, ${to}) n;
      insert into public.orders select n, 'public' from generate_series(${from}, ${to}) n;
      insert into unlogged select n from generate_series(${from}, ${to}) n`;
    await lane.source.script(write(1, 10));
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(write(11, 2_000));
    await lane.source.script(
      `update "Other ""schema"."Ta.b'le \\" set gone = false, "Key" = -"Key" where n % 2 = 0`,
    );
    await lane.run();
    await lane.expectEqual();
    expect(await lane.held()).toEqual([]);
  });

  test('a table of hundreds of columns arrives', async () => {
    const columns = Array.from({ length: 1_000 }, (_, index) => `column_${index} int`).join(', ');
    const lane = await createLaneFixture({
      schema: `create table wide (id int primary key, ${columns})`,
      targetRole,
    });
    await lane.source.script(
      `insert into wide (id, column_0, column_999) values (1, 1, 2), (2, null, 3), (3, 4, 5)`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update wide set column_500 = 7 where id = 1; delete from wide where id = 3;
      insert into wide (id, column_999) select n, n from generate_series(10, 1500) n`);
    await lane.run();
    await lane.expectEqual();
  });

  test('columns in another order and of wider types arrive', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, a smallint, b varchar(5), c json)`,
        target: `create table orders (c jsonb, b text, id bigint primary key, a numeric)`,
      },
      targetRole,
    });
    await lane.source.script(
      `insert into orders select n, n, 'b' || n, '{"a": 1}' from generate_series(1, 9) n`,
    );
    const texts = `select id::text, a::text, b, c::text from orders order by orders.id`;
    await lane.run();
    expect(await lane.target.rows(texts)).toEqual(await lane.source.rows(texts));
    await lane.source.script(`
      update orders set a = -1; insert into orders select n, 1, 'b', '{}' from generate_series(10, 2000) n`);
    await lane.run();
    expect(await lane.target.rows(texts)).toEqual(await lane.source.rows(texts));
    expect(await lane.target.row(`select count(*), sum(a) as sum from orders`)).toEqual({
      count: '2000',
      sum: '1982',
    });
  });
});
