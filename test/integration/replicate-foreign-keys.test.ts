/** Rows that refer to each other arrive whatever the order of their changes, also where the target checks them. */
import { describe, expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

/** The child's name sorts before its parent's, so no order by name helps. */
const FAMILY = (action = '') => `
  create table z_parents (id int primary key, code text unique, note text);
  create table a_children (id int primary key, parent int references z_parents ${action}, code text references z_parents (code) ${action}, note text)`;

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test.each([
    ['no action', ''],
    ['deferrable', 'deferrable initially deferred'],
    ['deferrable, checked at once', 'deferrable'],
    ['cascading', 'on delete cascade on update cascade'],
    ['restricting', 'on delete restrict on update restrict'],
    ['setting null', 'on delete set null on update set null'],
  ])('parents and children are inserted, moved and deleted in one batch: %s', async (_, action) => {
    const lane = await createLaneFixture({ schema: FAMILY(action), targetRole });
    await lane.source.script(`
      insert into z_parents select n, 'p' || n, 'note' from generate_series(1, 20) n;
      insert into a_children select n, (n + 1) / 2, 'p' || (n + 1) / 2, 'note' from generate_series(1, 40) n`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      insert into z_parents values (100, 'p100', 'new');
      update a_children set parent = 100, code = 'p100' where parent = 1;
      delete from z_parents where id = 1;
      delete from a_children where parent between 2 and 5; delete from z_parents where id between 2 and 5;
      update z_parents set note = 'changed' where id > 15;
      insert into a_children values (1000, 100, 'p100', 'new');
      update a_children set parent = 7, code = 'p7' where parent = 6; update z_parents set code = 'moved' where id = 6`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
    await lane.source.script(`
      insert into z_parents select n, 'q' || n, 'many' from generate_series(2000, 5000) n;
      insert into a_children select n, n, 'q' || n, 'many' from generate_series(2000, 5000) n;
      delete from a_children where id between 6 and 30 or id = 1000 or parent = 100; delete from z_parents where id < 16 or id = 100`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('rows that refer to their own table arrive in any order', async () => {
    const lane = await createLaneFixture({
      schema: `create table people (id int primary key, boss int references people, note text)`,
      targetRole,
    });
    await lane.source.script(`
      begin; insert into people values (50, null, 'top');
      insert into people select n, 50, 'n' from generate_series(1, 20) n; commit;
      update people set boss = id + 1 where id < 20`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update people set boss = null where id = 5; update people set boss = 2 where id = 1;
      update people set boss = null where boss between 6 and 10; delete from people where id between 6 and 10;
      insert into people values (6000, null, 'end');
      insert into people select n, 6000, 'many' from generate_series(1000, 3000) n;
      update people set boss = id + 1 where id between 1000 and 2999`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('tables that refer to each other arrive where the constraints may be deferred', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table husbands (id int primary key, wife int, note text);
        create table wives (id int primary key, husband int not null references husbands deferrable, note text);
        alter table husbands alter wife set not null, add foreign key (wife) references wives deferrable initially deferred`,
      targetRole,
    });
    await lane.source.script(`
      begin; insert into husbands select n, n, 'h' from generate_series(1, 50) n; insert into wives select n, n, 'w' from generate_series(1, 50) n; commit`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      begin; set constraints all deferred; insert into husbands values (100, 100, 'h'); insert into wives values (100, 100, 'w');
      update wives set husband = 100 where id = 1; update husbands set wife = 100 where id = 1;
      delete from husbands where id = 7; delete from wives where id = 7; commit`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('rows that refer to each other arrive beside one that is refused', async () => {
    const tables = `
      create table husbands (id int primary key, wife int not null);
      create table wives (id int primary key, husband int not null references husbands deferrable);
      alter table husbands add foreign key (wife) references wives deferrable initially deferred;
      create table orders (id int primary key, amount int)`;
    const lane = await createLaneFixture({
      schema: { source: tables, target: `${tables}; alter table orders add check (amount < 10)` },
      targetRole,
    });
    await lane.source.script(`
      begin; insert into husbands values (1, 1); insert into wives values (1, 1); insert into orders values (1, 10), (2, 1); commit`);
    await lane.run();
    await lane.expectEqual(['public.husbands', 'public.wives']);
    expect((await lane.rejected()).map(({ relation, key }) => [relation, ...key])).toEqual([
      ['public.orders', '1'],
    ]);
  });

  test('unique values that parents have swapped arrive', async () => {
    const lane = await createLaneFixture({ schema: FAMILY(), targetRole });
    await lane.source.script(`
      insert into z_parents values (1, 'a', ''), (2, 'b', ''), (3, 'c', ''); insert into a_children values (1, 1, null), (2, 2, null), (3, null, 'c')`);
    await lane.run();
    await lane.source.script(`
      begin; update z_parents set code = 'x' where id = 1; update z_parents set code = 'a' where id = 2;
      update z_parents set code = 'b' where id = 1; update a_children set note = 'also' where id = 1; commit`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('a first copy brings parents before their children, and rows that refer to later ones', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `
          ${FAMILY()};
          create table people (id int primary key, boss int references people, pad text);
          insert into z_parents select n, 'p' || n from generate_series(1, 3000) n;
          insert into a_children select n, n, 'p' || n from generate_series(1, 3000) n;
          insert into people select n, null from generate_series(1, 50000) n;
          update people set boss = 50001 - id`,
        target: `${FAMILY()}; create table people (id int primary key, boss int references people, pad text)`,
      },
      copy: 'if-empty',
      targetRole,
    });
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('children whose parents’ table waits arrive once it has caught up', async () => {
    const lane = await createLaneFixture({ schema: FAMILY(), targetRole });
    await lane.target.script(`alter table z_parents drop note`);
    await lane.source.script(`
      insert into z_parents values (1, 'a', 'n'), (2, 'b', 'n'); insert into a_children values (1, 1, 'a'), (2, null, 'b')`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.z_parents' }]);
    await lane.target.script(`alter table z_parents add note text`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });
});

/** Three generations; what refers to a child has no reason to change when the child goes to another parent. */
const GENERATIONS = `
  create table customers (id int primary key, note text);
  create table invoices (id int primary key, customer int references customers on delete cascade);
  create table lines (invoice int references invoices on delete cascade, line int, primary key (invoice, line))`;

describe('where the target acts on referring rows', () => {
  test.each([100_000, 1])(
    'a row that moved away before its parent went keeps what refers to it (%i deltas in a batch)',
    async (batchRows) => {
      const lane = await createLaneFixture({ schema: GENERATIONS, targetRole: 'writer', batchRows });
      await lane.source.script(`
        insert into customers values (1, 'a'), (2, 'b'), (3, 'c');
        insert into invoices values (10, 1), (11, 1), (12, 3);
        insert into lines select invoice, line from unnest(array[10, 11, 12]) invoice, generate_series(1, 3) line`);
      await lane.run();
      // Customer 1 is in the first batch, as it is at its end: gone. The move is in a later one.
      await lane.source.script(`update customers set note = 'seen' where id = 1`);
      await lane.source.script(`update invoices set customer = 2 where id = 10`);
      await lane.source.script(`delete from customers where id in (1, 3)`);
      await lane.run();
      await lane.expectEqual();
      expect(await lane.target.rows(`select line from lines where invoice = 10 order by line`)).toEqual([
        { line: 1 },
        { line: 2 },
        { line: 3 },
      ]);
      expect(await lane.rejected()).toEqual([]);
    },
  );

  test('the same in a table that refers to itself, at every depth', async () => {
    const lane = await createLaneFixture({
      schema: `create table nodes (id int primary key, parent int references nodes on delete cascade)`,
      targetRole: 'writer',
      batchRows: 2,
    });
    await lane.source.script(`
      insert into nodes values (1, null), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (100, null), (200, 200)`);
    await lane.run();
    await lane.source.script(`update nodes set parent = null where id in (1, 100)`);
    await lane.source.script(`update nodes set parent = 100 where id = 4`);
    await lane.source.script(`delete from nodes where id in (1, 200)`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select id from nodes order by id`)).toEqual(
      [4, 5, 6, 100].map((id) => ({ id })),
    );
    expect(await lane.rejected()).toEqual([]);
  });

  test('a row whose key would be set to NULL with its parent’s deletion is deleted itself', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table customers (id int primary key, note text);
        create table tags (customer int references customers on delete set null, word text not null);
        create unique index on tags (customer, word)`,
      targetRole: 'writer',
      batchRows: 1,
    });
    await lane.source.script(
      `insert into customers values (1), (2); insert into tags values (1, 'red'), (2, 'blue')`,
    );
    await lane.run();
    await lane.source.script(`update customers set note = 'seen' where id = 1`);
    await lane.source.script(`delete from tags where customer = 1`);
    await lane.source.script(`delete from customers where id in (1, 2)`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.rows(`select * from tags`)).toEqual([{ customer: null, word: 'blue' }]);
    expect(await lane.rejected()).toEqual([]);
  });

  test('rows that can only be replaced lose no child; new ones arrive', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table parents (id int primary key, serial int generated always as identity, note text);
        create table children (id int primary key, parent int references parents on delete cascade)`,
      targetRole: 'writer',
    });
    await lane.source.script(
      `insert into parents (id) values (1), (2); insert into children values (1, 1), (2, 2)`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(
      `update parents set note = 'changed' where id = 1; insert into parents (id) values (3)`,
    );
    await lane.run();
    await lane.expectEqual(['public.children']);
    expect((await lane.rejected()).map(({ relation, key }) => `${relation} ${key.join()}`)).toEqual([
      'public.parents 1',
    ]);
    expect(await lane.target.rows(`select id from parents order by id`)).toEqual([
      { id: 1 },
      { id: 2 },
      { id: 3 },
    ]);
  });

  test('a table is not emptied for a copy if that would change others; together they are copied', async () => {
    const lane = await createLaneFixture({ schema: GENERATIONS, targetRole: 'writer' });
    await lane.source.script(`
      insert into customers values (1, 'a'); insert into invoices values (10, 1); insert into lines values (10, 1)`);
    await lane.run();
    await requestCopy(lane.source, {
      sync: lane.sync.name,
      relation: { schema: 'public', table: 'customers' },
    });
    await lane.run();
    await lane.expectEqual();
    expect(await lane.held()).toMatchObject([
      { table: 'public.customers', detail: expect.stringContaining('public.invoices refers to it') },
    ]);
    await requestCopy(lane.source, { sync: lane.sync.name });
    await lane.target.script(`update customers set note = 'written by somebody'`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test.each(['on delete cascade', 'on delete restrict', 'on delete set null'])(
    'parents that swap unique values lose no child, and are parked if they cannot be written: %s',
    async (action) => {
      const lane = await createLaneFixture({ schema: FAMILY(action), targetRole: 'writer' });
      await lane.source.script(`
        insert into z_parents values (1, 'a', ''), (2, 'b', '');
        insert into a_children values (1, 1), (2, 2)`);
      await lane.run();
      await lane.source.script(`
        begin; update z_parents set code = 'x' where id = 1; update z_parents set code = 'a' where id = 2;
        update z_parents set code = 'b' where id = 1; commit`);
      await lane.run();
      await lane.expectEqual(['public.a_children']);
      expect((await lane.rejected()).map(({ relation, key: [id] }) => `${relation} ${id}`).sort()).toEqual([
        'public.z_parents 1',
        'public.z_parents 2',
      ]);
      expect(await lane.target.row(`select count(*) from z_parents`)).toEqual({ count: '2' });
    },
  );
});
