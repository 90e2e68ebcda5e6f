/**
 * Where a lane stands is a snapshot of transactions, not a time or a number: whatever commits late, never, in parts or
 * in another order arrives exactly once everything is through.
 */
import { describe, expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';
import { randomFrom } from '../support/random.ts';

const TABLES = `
  create table item (id int primary key, note text);
  create table slot (id int primary key, held_by int unique);
  create table line (id int primary key, item int references item);
  insert into item select n, 'start' from generate_series(1, 50) n;
  insert into slot values (1, 1), (2, 2), (3, 3)`;

function tableLane(batchRows = 100_000, targetRole?: 'writer'): Promise<LaneFixture> {
  return createLaneFixture({ schema: TABLES, batchRows, targetRole });
}

/** Runs until nothing is pending, and a run more finds nothing. */
async function catchUp(lane: LaneFixture): Promise<void> {
  await lane.run();
  expect(await lane.run()).toMatchObject({ rows: 0, more: false });
  await lane.expectEqual();
}

describe('a transaction', () => {
  test('that began before the mark and commits after it arrives', async () => {
    const lane = await tableLane();
    const late = await lane.session(lane.sourceUrl);
    await late.script(`begin; update item set note = 'late' where id = 1`);
    await lane.source.script(`update item set note = 'early' where id = 2`);
    await lane.run();
    await lane.source.script(`update item set note = 'between' where id = 3`);
    await lane.run();
    await late.script('commit');
    await catchUp(lane);
    expect(await lane.target.rows(`select note from item where id <= 3 order by id`)).toEqual([
      { note: 'late' },
      { note: 'early' },
      { note: 'between' },
    ]);
  });

  test('that is open all the while, with changes of its own, holds up nothing and arrives in the end', async () => {
    const lane = await tableLane(7);
    const idle = await lane.session(lane.sourceUrl);
    await idle.script('begin; select txid_current()');
    const changing = await lane.session(lane.sourceUrl);
    await changing.script(`begin; update item set note = 'open' where id between 41 and 50`);
    const failing = await lane.session(lane.sourceUrl);
    await failing.script(`begin; delete from slot; insert into item values (900, 'never')`);
    for (let round = 0; round < 30; round += 1) {
      await lane.source.script(
        `update item set note = 'round ${round}' where id between 1 and ${1 + (round % 20)}`,
      );
      await changing.script(`savepoint s; update item set note = 'open ${round}' where id = 41`);
      if (round % 3 === 0) await changing.script('rollback to savepoint s');
      await lane.run();
      expect(await lane.target.rows('select note from item where id = 1')).toEqual([
        { note: `round ${round}` },
      ]);
    }
    expect(await lane.target.rows(`select from item where note like 'open%'`)).toEqual([]);
    await failing.script('rollback');
    await changing.script('commit');
    await lane.run();
    expect(await lane.target.rows(`select from item where note like 'open%'`)).toHaveLength(10);
    await idle.script('commit');
    await catchUp(lane);
  });

  test('arrives in a sync of many tables too, whether it was late or its table held', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `many_${String(n).padStart(2, '0')}`);
    const tables = names.map((name) => `create table ${name} (id int primary key, note text)`).join(';');
    const lane = await createLaneFixture({
      schema: { source: tables, target: `${tables}; alter table many_00 drop note` },
    });
    const late = await lane.session(lane.sourceUrl);
    await late.script(`begin; insert into many_11 values (1, 'late')`);
    await lane.source.script(
      `insert into many_00 values (1, 'held'); insert into many_22 values (1, 'first')`,
    );
    await lane.run();
    expect((await lane.held()).map(({ table }) => table)).toEqual(['public.many_00']);
    expect(await lane.target.rows(`select note from many_22`)).toEqual([{ note: 'first' }]);
    // The same session again and again, with other marks.
    for (let round = 2; round < 10; round += 1) {
      await lane.source.script(`insert into ${names[29 + round]} values (${round}, 'again')`);
      await lane.run();
    }
    await late.script('commit');
    await lane.run();
    expect(await lane.target.rows(`select note from many_11`)).toEqual([{ note: 'late' }]);
    await lane.target.script(`alter table many_00 add note text`);
    await lane.runLater();
    await catchUp(lane);
  });

  test('that is greater than a batch arrives whole', async () => {
    const lane = await tableLane(7);
    await lane.source.script(`
      begin;
      insert into item select n, 'many' from generate_series(1001, 1200) n;
      update item set note = 'all';
      commit`);
    // One destination transaction, as its rows at the target tell.
    await lane.run();
    expect(await lane.target.rows(`select distinct xmin from item`)).toHaveLength(1);
    await catchUp(lane);
  });

  test('that is prepared arrives when it is committed, whatever ran in between', async () => {
    const lane = await tableLane(2);
    const name = `test_${lane.sourceUrl.slice(-12)}`;
    await lane.source.script(`
      begin; update item set note = 'prepared' where id in (1, 2); prepare transaction '${name}'`);
    await lane.source.script(`begin; delete from item where id = 3; prepare transaction '${name}_undone'`);
    for (let round = 0; round < 5; round += 1) {
      await lane.source.script(`update item set note = 'round ${round}' where id > 40`);
      await lane.run();
    }
    expect(await lane.target.rows(`select from item where note = 'prepared'`)).toEqual([]);
    await lane.source.script(`rollback prepared '${name}_undone'`);
    await lane.source.script(`commit prepared '${name}'`);
    await catchUp(lane);
    expect(await lane.target.rows(`select from item where note = 'prepared'`)).toHaveLength(2);
  });

  test('that is undone in parts brings the other parts', async () => {
    const lane = await tableLane(1);
    await lane.source.script(`
      begin;
      update item set note = 'kept' where id = 1;
      savepoint a; delete from item where id = 2; rollback to a;
      savepoint b; insert into item values (60, 'kept'); savepoint c; delete from item where id = 1; rollback to c; release b;
      do $$ begin update item set note = 'undone'; raise 'no'; exception when others then null; end $$;
      commit`);
    await catchUp(lane);
    expect(await lane.target.rows(`select id from item where note <> 'start' order by id`)).toEqual([
      { id: 1 },
      { id: 60 },
    ]);
  });
});

test('ids that were given out and never used leave no trace', async () => {
  const lane = await tableLane(1);
  for (let round = 0; round < 20; round += 1) {
    await lane.source.script(
      `begin; select txid_current(); update item set note = 'no' where id = ${round + 1}; rollback`,
    );
    await lane.source.script(`select txid_current()`);
    if (round % 4 === 0) await lane.source.script(`update item set note = 'yes' where id = ${round + 1}`);
    if (round % 5 === 0) await lane.run();
  }
  await catchUp(lane);
});

describe('a batch that ends before the newest change', () => {
  /** Two transactions that commit in the opposite order of their ids: `first` has the smaller id and commits last. */
  async function crossed(lane: LaneFixture, second: string, first: string): Promise<void> {
    const late = await lane.session(lane.sourceUrl);
    await late.script('begin; select txid_current()');
    await lane.source.script(second);
    await late.script(`${first}; commit`);
  }

  test('brings a unique value later whose old owner comes in a later batch', async () => {
    const lane = await tableLane(1);
    await crossed(
      lane,
      'update slot set held_by = 9 where id = 2',
      'update slot set held_by = 2 where id = 1',
    );
    await catchUp(lane);
    expect(await lane.rejected()).toEqual([]);
  });

  test('brings a row later whose parent comes in a later batch, where foreign keys are in force', async () => {
    const lane = await tableLane(1, 'writer');
    await crossed(lane, `insert into item values (77, 'parent')`, 'insert into line values (1, 77)');
    await lane.source.script('insert into line values (2, 1)');
    await catchUp(lane);
    expect(await lane.rejected()).toEqual([]);
  });

  test('comes to an end although rows are refused for good', async () => {
    const lane = await tableLane(1);
    await lane.target.script('alter table item add check (id < 1000)');
    for (const id of [1001, 1002, 1003])
      await lane.source.script(`insert into item values (${id}, 'refused')`);
    await lane.source.script(`update item set note = 'fine' where id = 1`);
    await lane.run();
    expect(await lane.run()).toMatchObject({ rows: 0, more: false });
    expect((await lane.rejected()).map(({ key }) => key)).toEqual(
      expect.arrayContaining([['1001'], ['1002'], ['1003']]),
    );
    await lane.source.script('delete from item where id > 1000');
    await catchUp(lane);
    expect(await lane.rejected()).toEqual([]);
  });
});

describe('with cuts everywhere', () => {
  test.each([1, 2, 7])('(%i deltas in a batch) interleaved transactions arrive', async (batchRows) => {
    const lane = await tableLane(batchRows);
    const random = randomFrom(batchRows);
    const sessions = await Promise.all([1, 2, 3, 4].map(() => lane.session(lane.sourceUrl)));
    const open = new Set<number>();
    for (let step = 0; step < 150; step += 1) {
      const at = random.below(sessions.length);
      const session = sessions[at]!;
      if (!open.has(at)) {
        await session.script(`begin; set local lock_timeout = '20ms'`);
        open.add(at);
      } else if (random.oneIn(4)) {
        await session.script(random.oneIn(4) ? 'rollback' : 'commit');
        open.delete(at);
      } else {
        const id = 1 + random.below(60);
        const sql = random.pick([
          `insert into item values (${id}, 'step ${step}') on conflict (id) do update set note = excluded.note`,
          `update item set id = id + 100 where id = ${id} and not exists (select from item where id = ${id + 100})`,
          `delete from item where id = ${id}`,
          `update slot set held_by = ${random.below(5)} where id = ${1 + random.below(3)}`,
        ]);
        try {
          await session.script(`savepoint s; ${sql}`);
        } catch (error) {
          // Locked by another, or a value that is taken.
          expect(['55P03', '23505', '40P01']).toContain(asBucardoError(error).sqlstate);
          await session.script('rollback to savepoint s');
        }
      }
      if (random.oneIn(6)) await lane.run();
    }
    for (const at of open) await sessions[at]!.script('commit');
    await catchUp(lane);
    expect(await lane.rejected()).toEqual([]);
  });
});

test('a copy and the lane’s mark agree on transactions that were open at both', async () => {
  const lane = await tableLane();
  const late = await lane.session(lane.sourceUrl);
  await late.script(
    `begin; update item set note = 'late' where id <= 10; insert into item values (70, 'late')`,
  );
  await requestCopy(lane.source, { sync: lane.sync.name });
  await lane.run();
  expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
  await late.script('commit');
  await catchUp(lane);
});
