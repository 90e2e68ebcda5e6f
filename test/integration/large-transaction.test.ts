/** A transaction that is too large for one transaction of the target: it arrives in parts, and nothing is lost or invented meanwhile. */
import { expect, test } from 'vitest';
import { createLaneFixture, type LaneFixture, type LaneFixtureOptions } from '../support/lane-fixture.ts';
import { smallChunks } from '../support/crash-scenes.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';

const SCHEMA = `
  create table parent (id int primary key, code text unique, note text);
  create table child (id int primary key, parent int not null references parent, note text);
  create table bare (a int, b text, note text);
  create unique index on bare (a, b);
  create table ranged (id int primary key, note text) partition by range (id);
  create table ranged_low partition of ranged for values from (0) to (150);
  create table ranged_high partition of ranged for values from (150) to (100000)`;

const ROWS = `
  insert into parent select n, 'code ' || n, 'old' from generate_series(1, 300) n;
  insert into child select n, n, 'old' from generate_series(1, 300) n;
  insert into bare select nullif(n % 50, 0), n, 'old' from generate_series(1, 300) n;
  insert into ranged select n, 'old' from generate_series(1, 300) n`;

/** Inserts, updates, deletes and moved keys in every table, 2,000 deltas and more. */
const LARGE = `
  begin;
  update parent set note = 'large';
  insert into parent select n, 'code ' || n, 'large' from generate_series(1001, 1300) n;
  update child set parent = 1000 + id, note = 'large';
  delete from parent where id <= 100;
  delete from child where id between 50 and 80;
  insert into child select n, n, 'large' from generate_series(1101, 1200) n;
  update bare set note = 'large' where b::int % 2 = 0;
  delete from bare where b::int % 3 = 0;
  insert into bare select null, n, 'large' from generate_series(2001, 2100) n;
  update ranged set id = id + 1000;
  update ranged set note = 'large' where id < 1200;
  commit`;

/** The lane's last batches were so slow that the transaction cannot arrive whole. */
async function createLane(options: LaneFixtureOptions = {}): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema: `${SCHEMA}; ${ROWS}`, batchRows: 100, ...options });
  await lane.source.script('update bucardo.lane_status set deltas_per_second = 10');
  return lane;
}

/** A run that has time for one batch. */
async function runOnce(lane: LaneFixture): Promise<void> {
  await lane.run(lane.lane, Date.now());
}

async function isUnderWay({ source }: LaneFixture): Promise<boolean> {
  return (await source.rows('select from bucardo.large_transaction')).length > 0;
}

/** One part after the other, and what happens between two of them. */
async function deliver(lane: LaneFixture, meanwhile: (part: number) => Promise<void>): Promise<number> {
  await runOnce(lane);
  expect(await isUnderWay(lane)).toBe(true);
  let parts = 1;
  for (; await isUnderWay(lane); parts += 1) {
    await meanwhile(parts);
    await runOnce(lane);
  }
  return parts;
}

const nothing = async (): Promise<void> => {};

for (const targetRole of [undefined, 'writer'] as const) {
  const where = targetRole === undefined ? 'in the replica role' : 'where foreign keys are checked';

  test(`a large transaction arrives in parts ${where}`, async () => {
    const lane = await createLane({ targetRole });
    await lane.source.script(LARGE);
    const parts = await deliver(lane, nothing);
    expect(parts).toBeGreaterThan(20);
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
    expect(await lane.held()).toEqual([]);
    expect(await lane.run()).toEqual({ rows: 0, batches: 0, more: false });
    const largest = await lane.target.row<{ rows: number }>(
      `select max(rows)::int as rows from (
         select count(*) as rows from (select xmin::text from parent union all select xmin::text from child) t
         where xmin <> (select xmin::text from parent order by id limit 1) group by xmin) counts`,
    );
    expect(largest.rows).toBeLessThanOrEqual(300);
  });

  test(`changes that commit between the parts are not lost ${where}`, async () => {
    const lane = await createLane({ targetRole });
    // An older id than the large transaction's, committed in the middle of its delivery.
    const older = await lane.session(lane.sourceUrl);
    await older.script(`begin; insert into parent values (5000, 'older', 'older')`);
    await lane.source.script(LARGE);
    await deliver(lane, async (part) => {
      if (part === 3) await older.script('commit');
      await lane.source.script(`
        update parent set note = 'part ${part}' where id = 101 + ${part} * 3;
        delete from child where id = 1101 + ${part};
        insert into child values (${part} + 8000, 300, 'part ${part}');
        update bare set note = 'part ${part}' where a is null and b = '${2001 + part}';
        update ranged set note = 'part ${part}' where id = 1101 + ${part} * 7`);
    });
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });

  test(`rows that the target refuses are parked, and stay so beyond the parts ${where}`, async () => {
    const lane = await createLane({ targetRole });
    await lane.target.script(`alter table child add constraint honest check (id <> 1150)`);
    await lane.source.script(LARGE);
    await deliver(lane, nothing);
    await lane.run();
    const rejected = await lane.rejected();
    expect(rejected.map(({ relation, key }) => [relation, key])).toEqual([['public.child', ['1150']]]);
    await lane.target.script(`alter table child drop constraint honest`);
    await lane.source.script(`update child set note = 'again' where id = 1150`);
    await lane.run();
    await lane.expectEqual();
    expect(await lane.rejected()).toEqual([]);
  });
}

test('a table that cannot be written is held, and gets the transaction later', async () => {
  const lane = await createLane();
  await lane.source.script(LARGE);
  await deliver(lane, async (part) => {
    if (part === 2) await lane.target.script('alter table child rename to elsewhere');
  });
  await lane.run();
  expect((await lane.held()).map(({ table }) => table)).toEqual(['public.child']);
  await lane.expectEqual(['public.parent', 'public.bare', 'public.ranged']);
  await lane.target.script('alter table elsewhere rename to child');
  await lane.source.script(`update bucardo.lane_status set deltas_per_second = 10`);
  await lane.runLater();
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
});

test('a table that is copied meanwhile arrives once, as it is', async () => {
  const lane = await createLane({
    schema: `${SCHEMA}; ${ROWS}; create table wide (id int primary key, note text) with (fillfactor = 10, autovacuum_enabled = false);
      insert into wide select n, repeat('x', 1000) from generate_series(1, 1000) n`,
  });
  await lane.source.script(smallChunks('wide'));
  await lane.source.script(
    LARGE.replace('commit', `update wide set note = 'large' where id % 3 = 0; commit`),
  );
  await deliver(lane, async (part) => {
    if (part === 2) {
      const relation = { schema: 'public', table: 'wide' };
      await requestCopy(lane.source, { sync: lane.sync.name, relation });
      // As after three chunks.
      await lane.target.script(`delete from wide where id > 300`);
      await lane.source.script(`update bucardo.copy set state = 'copying', done_to = '{300}'`);
    }
    await lane.source.script(
      `update wide set note = 'part ${part}' where id in (${part} * 20, 300 + ${part} * 7)`,
    );
  });
  expect(await lane.target.row('select max(id) as id from wide')).toEqual({ id: 300 });
  await lane.run();
  expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
  await lane.expectEqual();
});

test('a TRUNCATE in the transaction is reported, as it is in a small one', async () => {
  const lane = await createLane();
  await lane.source.script(LARGE.replace('commit', 'truncate ranged; commit'));
  await deliver(lane, nothing);
  await lane.run();
  const needed = await lane.source.rows('select table_name as table, reason from bucardo.copy_needed');
  expect(needed).toEqual([{ table: 'ranged', reason: 'truncated' }]);
  await lane.expectEqual(['public.parent', 'public.child', 'public.bare']);
});

test('a delta table that is written to another file between two parts is read from its beginning', async () => {
  const lane = await createLane();
  await lane.source.script(LARGE);
  await deliver(lane, async (part) => {
    if (part === 5) await lane.source.script('vacuum full bucardo.delta_public_child');
    if (part === 9)
      await lane.source
        .script('cluster bucardo.delta_public_parent using "delta_public_parent_txid"')
        .catch(() => {});
  });
  await lane.run();
  await lane.expectEqual();
});

test('a table that joins the lane, or leaves it, between two parts loses nothing', async () => {
  const lane = await createLane({ tables: ['public.parent', 'public.child', 'public.bare'] });
  await lane.source.script(LARGE);
  await deliver(lane, async (part) => {
    if (part === 4) {
      await lane.source.script(`delete from bucardo.sync_relation where table_name = 'bare'`);
    }
    if (part === 8) {
      // A copy is not wanted: its deltas have to bring the transaction.
      await lane.source.script(
        `insert into bucardo.sync_relation (sync, schema_name, table_name) values ('${lane.sync.name}', 'public', 'bare')`,
      );
    }
  });
  await lane.run();
  await lane.expectEqual();
});

test('a mark that was set back meanwhile begins the delivery anew', async () => {
  const lane = await createLane();
  await lane.source.script(`insert into parent values (7000, 'first', 'first')`);
  await lane.run();
  await lane.source.script('update bucardo.lane_status set deltas_per_second = 10');
  await lane.source.script(LARGE);
  await deliver(lane, async (part) => {
    if (part !== 6) return;
    await lane.target.script(`delete from parent where id = 7000`);
    await lane.source.script('update bucardo.progress set mark = null');
  });
  await lane.run();
  await lane.expectEqual();
});
