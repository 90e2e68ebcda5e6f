/** Tables that differ between source and target: the one that cannot be written waits with its changes, the others go on. */
import { describe, expect, test } from 'vitest';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const TABLES = `
  create table orders (id int primary key, note text);
  create table other (id int primary key, note text)`;

/** Changes of all kinds that must not be lost while the relation waits. */
async function changeBoth(lane: LaneFixture): Promise<void> {
  for (const table of ['orders', 'other']) {
    await lane.source.script(`
      insert into ${table} (id, note) select n, 'later' from generate_series(1000, 1010) n;
      update ${table} set note = 'changed' where id in (1, 2);
      delete from ${table} where id = 3;
      update ${table} set id = 400 where id = 4`);
  }
}

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  const seeded = async (): Promise<LaneFixture> => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole });
    for (const table of ['orders', 'other']) {
      await lane.source.script(`insert into ${table} select n, 'note' from generate_series(1, 10) n`);
    }
    await lane.run();
    await lane.expectEqual();
    return lane;
  };

  test.each([
    {
      what: 'a column that the target lacks',
      break: { source: `alter table orders add price numeric default 1` },
      mend: `alter table orders add price numeric default 1`,
      held: { code: 'BUC-COLUMN-MISSING', detail: /column price/ },
    },
    {
      what: 'a column that the target has dropped',
      break: { target: `alter table orders drop note` },
      mend: `alter table orders add note text; truncate orders`,
      held: { code: 'BUC-COLUMN-MISSING', detail: /column note/ },
      whole: true,
    },
    {
      what: 'a column that the target wants and the source lacks',
      break: {
        target: `alter table orders add needed text not null default ''; alter table orders alter needed drop default`,
      },
      mend: `alter table orders alter needed set default 'x'`,
      held: { code: 'BUC-COLUMN-REQUIRED', detail: /column needed/ },
    },
    {
      what: 'a table that the target has lost',
      break: { target: `alter table orders rename to away` },
      mend: `alter table away rename to orders`,
      held: { code: 'BUC-TABLE-MISSING', detail: /database reports.*orders/ },
    },
    {
      what: 'a key that is not unique at the target',
      break: { target: `alter table orders drop constraint orders_pkey` },
      mend: `create unique index on orders (id)`,
      held: { code: 'BUC-TARGET-NO-UNIQUE', detail: /\(id\)/ },
    },
    {
      what: 'a table that the target’s role may not write',
      break: {
        target: `revoke all on orders from writer`,
      },
      mend: `grant all on orders to writer`,
      held: { code: 'BUC-DB-RIGHTS', detail: /orders.*SQLSTATE 42501/ },
      only: 'writer',
    },
    {
      what: 'a view in the table’s place',
      break: { target: `alter table orders rename to away; create view orders as select * from away` },
      mend: `drop view orders; alter table away rename to orders`,
      held: { code: 'BUC-TABLE-MISSING', detail: /orders/ },
    },
  ])(
    '$what holds that table alone, and it catches up by itself',
    async ({ break: how, mend, held, whole, only }) => {
      if (only !== undefined && only !== targetRole) return;
      const lane = await seeded();
      if (how.source !== undefined) await lane.source.script(how.source);
      if (how.target !== undefined) await lane.target.script(how.target);
      await changeBoth(lane);
      await lane.run();
      expect(await lane.held()).toMatchObject([
        { table: 'public.orders', code: held.code, detail: expect.stringMatching(held.detail) },
      ]);
      await lane.expectEqual(['public.other']);
      expect((await lane.status()).code).toBeNull();

      await lane.source.script(
        `update orders set note = 'while it waits' where id = 5; delete from orders where id = 6`,
      );
      await lane.source.script(`update other set note = 'goes on' where id = 5`);
      await lane.run();
      await lane.expectEqual(['public.other']);

      await lane.target.script(mend);
      if (whole === true) await lane.source.script(`update orders set note = note`);
      await lane.runLater();
      expect(await lane.held()).toEqual([]);
      await lane.expectEqual();
    },
  );

  test('a table that is held keeps its place through batches of the others, and is released once it is level', async () => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole, batchRows: 10 });
    await lane.target.script(`alter table orders drop note`);
    for (let round = 0; round < 5; round += 1) {
      await lane.source.script(`
        insert into orders select ${round} * 100 + n, 'n' from generate_series(1, 7) n;
        insert into other select ${round} * 100 + n, 'n' from generate_series(1, 7) n;
        update orders set note = 'round ${round}' where id % 100 = 1`);
      await lane.run();
    }
    await lane.expectEqual(['public.other']);
    expect(await lane.held()).toHaveLength(1);
    await lane.target.script(`alter table orders add note text`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('a type that is too narrow parks the rows that do not fit', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, amount bigint, code text, at timestamptz)`,
        target: `create table orders (id int primary key, amount int, code varchar(3), at date)`,
      },
      targetRole,
    });
    await lane.source.script(`
      insert into orders values (1, 1, 'abc', null), (2, 9999999999, 'a', null), (3, 1, 'abcd', null), (4, 1, 'ab', null)`);
    await lane.run();
    expect((await lane.rejected()).map(({ key: [id], message }) => `${id}: ${message}`)).toEqual([
      expect.stringMatching(/^2: .*SQLSTATE 22003$/),
      expect.stringMatching(/^3: .*SQLSTATE 22001$/),
    ]);
    expect(await lane.target.rows(`select id from orders order by id`)).toEqual([{ id: 1 }, { id: 4 }]);
    await lane.target.script(`alter table orders alter amount type bigint, alter code type text`);
    await lane.source.script(`update orders set amount = amount where id in (2, 3)`);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '4' });
  });

  test('a target’s table that was made anew takes changes again', async () => {
    const lane = await seeded();
    await lane.target.script(`drop table orders`);
    await changeBoth(lane);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ code: 'BUC-TABLE-MISSING' }]);
    await lane.target.script(`create table orders (note varchar(30), id bigint primary key)`);
    await lane.source.script(`update orders set note = 'all of them'`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    const rows = `select id::text, note from orders order by id`;
    expect(await lane.target.rows(rows)).toEqual(await lane.source.rows(rows));
  });

  test('a column that is added on both sides, target first, never holds anything', async () => {
    const lane = await seeded();
    await lane.target.script(`alter table orders add price numeric not null default 0`);
    await lane.source.script(`insert into orders values (50, 'before')`);
    await lane.run();
    await lane.source.script(
      `alter table orders add price numeric not null default 0; update orders set price = 2 where id = 50`,
    );
    await lane.run();
    await lane.source.script(`alter table orders drop note; insert into orders values (51, 3)`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('a column whose type changes on both sides while sessions are warm goes on', async () => {
    const lane = await seeded();
    for (const side of [lane.target, lane.source])
      await side.script(`alter table orders alter note type varchar(50)`);
    await changeBoth(lane);
    await lane.run();
    for (const side of [lane.target, lane.source]) {
      await side.script(`alter table orders alter note type int using 1`);
    }
    await lane.apply();
    await lane.source.script(`update orders set note = 7 where id = 1; insert into orders values (999, 8)`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });
});

test('a key that changed at the source holds the table and says what to do', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.source.script(`insert into orders values (1, 'a'); insert into other values (1, 'a')`);
  await lane.source.script(`alter table orders drop constraint orders_pkey, add primary key (note)`);
  await lane.run();
  expect(await lane.held()).toMatchObject([
    { table: 'public.orders', code: 'BUC-KEY-CHANGED', detail: expect.stringMatching(/\(id\)/) },
  ]);
  await lane.expectEqual(['public.other']);
});

test('a source’s table that was renamed is held alone, with its new name, until it has its old one again', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.source.script(`insert into orders values (1, 'a'); insert into other values (1, 'a')`);
  await lane.source.script(`alter table orders rename to renamed`);
  await lane.run();
  expect(await lane.held()).toMatchObject([
    { table: 'public.orders', code: 'BUC-TABLE-RENAMED', detail: expect.stringMatching(/public\.renamed/) },
  ]);
  await lane.expectEqual(['public.other']);
  await lane.source.script(`alter table renamed rename to orders; insert into orders values (2, 'b')`);
  await lane.runLater();
  await lane.expectEqual();
});

test('a table that cannot be copied now waits, the others are copied, and it is copied later', async () => {
  const lane = await createLaneFixture({
    schema: {
      source: `${TABLES}; insert into orders values (1, 'a'); insert into other values (1, 'a')`,
      target: `create table orders (id int primary key); create table other (id int primary key, note text)`,
    },
    copy: 'if-empty',
  });
  await lane.run();
  expect(await lane.held()).toMatchObject([{ table: 'public.orders', code: 'BUC-COLUMN-MISSING' }]);
  await lane.expectEqual(['public.other']);
  await lane.source.script(`insert into orders values (2, 'b'); update orders set note = 'c' where id = 1`);
  await lane.run();
  await lane.target.script(`alter table orders add note text`);
  await lane.runLater();
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
});
