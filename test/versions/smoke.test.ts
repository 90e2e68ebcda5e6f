/** What every supported major of Postgres must do, as a source and as a target. */
import { describe, expect, inject, test } from 'vitest';
import { uninstall } from '../../shared/capture/uninstall.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { planOf, sourceDatabase, withSource } from '../support/captured-source.ts';
import { createLaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { insertSamples, multiplySamples, sampleRows, sampleSchema } from '../support/type-samples.ts';

const major = inject('serverMajor');

describe.each([undefined, 'writer'] as const)(`Postgres ${major}, target role %s`, (targetRole) => {
  test('inserts, updates, deletes, key changes and swapped unique values arrive', async () => {
    const lane = await createLaneFixture({
      schema: `create table orders (id bigint primary key, code text unique, note text)`,
      targetRole,
    });
    await lane.source.script(`insert into orders select n, 'c' || n, 'note' from generate_series(1, 50) n`);
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(`
      update orders set note = 'changed' where id < 10; delete from orders where id = 12;
      update orders set id = 1000 where id = 13;
      begin; update orders set code = 'x' where id = 20; update orders set code = 'c20' where id = 21; update orders set code = 'c21' where id = 20; commit;
      insert into orders select n, 'd' || n, 'many' from generate_series(2000, 4000) n`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '2050' });
    await lane.source.run(`update bucardo.progress set mark = null`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('values of every type arrive, few and many', async () => {
    const lane = await createLaneFixture({ schema: sampleSchema(major), targetRole });
    await lane.source.script(insertSamples(major));
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(multiplySamples(major, Math.ceil(1_050 / sampleRows(major)), 1_000));
    await lane.run();
    await lane.expectEqual();
  });

  test('a first copy and changes meanwhile arrive', async () => {
    const table = `create table orders (id int primary key, note text); create table pairs (a int, b text, primary key (a, b))`;
    const lane = await createLaneFixture({
      schema: {
        source: `${table}; insert into orders select n, 'n' from generate_series(1, 45000) n; insert into pairs select n, 'b' from generate_series(1, 100) n`,
        target: table,
      },
      copy: 'if-empty',
      targetRole,
    });
    await lane.source.script(
      `update orders set note = 'changed' where id % 100 = 0; delete from orders where id % 101 = 0`,
    );
    await lane.run();
    await lane.expectEqual();
    expect(await lane.source.rows(`select * from bucardo.copy`)).toEqual([]);
  });

  test('a refused row is parked, the others arrive, and it arrives once it fits', async () => {
    const table = `create table orders (id int primary key, amount int)`;
    const lane = await createLaneFixture({
      schema: { source: table, target: `${table}; alter table orders add check (amount < 10)` },
      targetRole,
    });
    await lane.source.script(
      `insert into orders select n, case n when 1234 then 10 else 1 end from generate_series(1, 3000) n`,
    );
    await lane.run();
    expect(await lane.rejected()).toMatchObject([{ key: ['1234'], relation: 'public.orders' }]);
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '2999' });
    await lane.source.script(`update orders set amount = 2 where id = 1234`);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual();
  });

  test('a partitioned table arrives, and rows that move between its partitions', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table events (id int, region text, note text, primary key (id, region)) partition by list (region);
        create table events_eu partition of events for values in ('eu'); create table events_us partition of events for values in ('us')`,
      tables: ['public.events'],
      targetRole,
    });
    await lane.source.script(`
      insert into events select n, (array['eu', 'us'])[n % 2 + 1], 'n' from generate_series(1, 40) n;
      insert into events_eu values (1000, 'eu', 'straight into the partition')`);
    await lane.run();
    await lane.source.script(
      `update events set region = 'us' where id % 4 = 0; delete from events_us where id % 3 = 0`,
    );
    await lane.run();
    await lane.expectEqual();
  });

  test('parents and children arrive in one batch', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table z_parents (id int primary key, code text unique);
        create table a_children (id int primary key, parent int references z_parents, code text references z_parents (code))`,
      targetRole,
    });
    await lane.source.script(
      `insert into z_parents values (1, 'a'), (2, 'b'); insert into a_children values (1, 1, 'b'), (2, 2, null)`,
    );
    await lane.run();
    await lane.source.script(`
      insert into z_parents values (3, 'c'); update a_children set parent = 3, code = 'c' where id = 1; delete from z_parents where id = 1;
      delete from a_children where id = 2; insert into a_children values (4, 3, 'b')`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test('NULLs in keys, identity and generated columns arrive', async () => {
    const lane = await createLaneFixture({
      schema: `
        create table sets (a int, b text, unique (a, b));
        create table made (id int generated always as identity primary key, a int, b int generated always as (a * 2) stored)`,
      targetRole,
    });
    await lane.source.script(
      `insert into sets values (1, null), (1, null), (null, null), (2, 'b'); insert into made (a) values (1), (2)`,
    );
    await lane.run();
    await lane.source.script(
      `update sets set b = 'x' where a = 2; delete from sets where a is null; update made set a = 5 where id = 1`,
    );
    await lane.run();
    await lane.expectEqual();
  });

  test('a missing column holds its table alone until it is there', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, note text); create table other (id int primary key)`,
        target: `create table orders (id int primary key); create table other (id int primary key)`,
      },
      targetRole,
    });
    await lane.source.script(`insert into orders values (1, 'a'); insert into other values (1)`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.orders', code: 'BUC-COLUMN-MISSING' }]);
    await lane.expectEqual(['public.other']);
    await lane.target.script(`alter table orders add note text`);
    await lane.runLater();
    await lane.expectEqual();
  });
});

test('a TRUNCATE is seen, and asks for a copy', async () => {
  const lane = await createLaneFixture({ schema: `create table orders (id int primary key)` });
  await lane.source.script(`insert into orders values (1)`);
  await lane.run();
  await lane.source.script(`truncate orders`);
  await lane.run();
  expect(await lane.source.rows(`select table_name, reason from bucardo.copy_needed`)).toEqual([
    { table_name: 'orders', reason: 'truncated' },
  ]);
});

test('applying again plans nothing, and uninstalling leaves nothing', async () => {
  const lane = await createLaneFixture({
    schema: `
      create table orders (id int primary key);
      create table events (id int primary key) partition by range (id); create table events_1 partition of events for values from (0) to (9)`,
  });
  expect((await planOf(lane.sourceUrl, [lane.sync], sourceDatabase('poll', SOURCE))).steps).toEqual([]);
  await lane.source.script(`insert into orders values (1); insert into events values (1)`);
  const proof = await withSource(lane.sourceUrl, (db) => uninstall(db, { log: silentLog }));
  expect(proof).toEqual({ remaining: [], foreign: [] });
  await lane.source.script(`insert into orders values (2)`);
  expect(await lane.source.rows(`select from pg_namespace where nspname = 'bucardo'`)).toEqual([]);
});
