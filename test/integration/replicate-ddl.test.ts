/**
 * DDL on the source, committed exactly between two statements of a run. DDL is not MVCC-safe: what a batch reads with a snapshot from
 * before must not be taken for what the table holds.
 */
import process from 'node:process';
import { describe, expect, inject, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { beginStatements, type InterruptedRuns, interruptedRuns } from '../support/interrupted-run.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import type { Asked } from '../support/postgres-proxy.ts';
import { DDL_SETUP, NOT_REWRITING, REWRITING, type TableDdl } from '../support/table-ddl.ts';

const MAJOR = inject('serverMajor');

const ROWS = `
  insert into changed (id, v) select n, 0 from generate_series(1, 50) n;
  insert into other select n, 0 from generate_series(1, 5) n`;
const COLUMNS = `id int primary key, v int, extra int, short varchar(10)`;
const PLAIN = `
  create table changed (${COLUMNS});
  create table stranger (${COLUMNS});
  create table other (id int primary key, v int);
  ${ROWS};
  insert into stranger (id, v) select n, 999 from generate_series(1, 10) n`;
const PARTITIONED = `
  create table changed (${COLUMNS}) partition by range (id);
  create table part partition of changed for values from (minvalue) to (30);
  create table rest partition of changed for values from (30) to (maxvalue);
  create table other (id int primary key, v int);
  ${ROWS}`;
const CAPTURED = { tables: ['public.changed', 'public.other'] };

const isKnown = (ddl: TableDdl): boolean => MAJOR >= (ddl.since ?? 0);

async function laneWith(schema: string): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema, ...CAPTURED });
  if (MAJOR >= 15) await lane.source.script(DDL_SETUP[15]);
  return lane;
}

/** Rows changed, deleted, inserted and moved, in both tables. */
async function change(lane: LaneFixture, round: number): Promise<void> {
  await lane.source.script(`
    begin;
    delete from changed where id < 0;
    insert into changed (id, v) select n, 0 from generate_series(1, 50) n on conflict do nothing;
    update changed set v = ${round} where id between 1 and 20;
    delete from changed where id = ${21 + (round % 10)};
    update changed set id = -id where id between 40 and 42;
    insert into other values (${100 + round}, ${round});
    commit`);
}

/**
 * Of all places every fourth, another first one for each kind of DDL, so that all of them together are tried at every place.
 * `BUCARDO_CRASH_ALL=1`: each at every place.
 */
function placesFor(places: number, kind: number): readonly number[] {
  const all = Array.from({ length: places }, (_, position) => position + 1);
  if (process.env['BUCARDO_CRASH_ALL'] === '1') return all;
  return all.filter((place) => (place + kind) % 4 === 0 || place === AFTER_STATE);
}

/** Just after the lane's state was read: the snapshot is taken, and nothing is locked. */
const AFTER_STATE = 2;

const isOfSource = ({ server, kind }: Asked): boolean => server === SOURCE && kind !== 'connect';
const begins = ({ sql }: Asked): boolean => sql.startsWith('begin isolation level repeatable read');

/** How many statements a quiet run asks the source for in a batch's transaction, and just after it. */
async function countPlaces(lane: LaneFixture, runs: InterruptedRuns): Promise<number> {
  await change(lane, 0);
  await runs.run(() => {});
  const asked = runs.proxy.asked.filter(isOfSource);
  const begin = asked.findIndex(begins);
  return asked.findIndex(({ sql }, position) => position > begin && sql === 'commit') - begin + 1;
}

/** Runs the lane; before its n-th statement at the source, counted from a batch's `begin`, the DDL is done or left waiting. */
async function runWithDdl(
  lane: LaneFixture,
  runs: InterruptedRuns,
  place: number,
  statements: readonly string[],
): Promise<void> {
  let passed = 0;
  let ddl: Awaited<ReturnType<typeof beginStatements>> | undefined;
  await runs.run(async (asked) => {
    if (!isOfSource(asked) || ddl !== undefined || (passed === 0 && !begins(asked))) return;
    passed += 1;
    if (passed > place) ddl = await beginStatements(lane.sourceUrl, statements);
  });
  expect(ddl, `nothing was asked at place ${place}`).toBeDefined();
  await ddl?.done;
}

function beganAgain(lane: LaneFixture): number {
  return lane.events.filter(({ event }) => event === 'lane.batch.changed').length;
}

describe('a table that gets a new file while it is being read', () => {
  test.each(REWRITING.filter(isKnown))('really gets a new one by $title', async ({ sql, empties }) => {
    const lane = await laneWith(PLAIN);
    const file = () => lane.source.row(`select pg_relation_filenode('changed') as file`);
    for (const statement of sql('changed').filter((text) => !text.includes('drop column'))) {
      const before = await file();
      await lane.source.script(statement);
      expect(await file(), statement).not.toEqual(before);
    }
    const { rows } = await lane.source.row<{ rows: number }>(`select count(*)::int as rows from changed`);
    expect(rows).toBe(empties === true ? 0 : 50);
  });

  const cases = REWRITING.filter(isKnown).flatMap((ddl, kind) => [
    { ...ddl, kind, of: 'a table', schema: PLAIN, table: 'changed' },
    {
      ...ddl,
      kind: kind + 2,
      of: 'a partition',
      schema: PARTITIONED,
      table: ddl.ofRoot === true ? 'changed' : 'part',
    },
  ]);
  test.each(cases)(
    'loses no row at the target: $title of $of',
    async ({ sql, empties, schema, table, kind }) => {
      const lane = await laneWith(schema);
      const runs = await interruptedRuns(lane);
      const places = await countPlaces(lane, runs);
      expect(places).toBeGreaterThan(4);
      for (const place of placesFor(places, kind)) {
        await change(lane, place);
        await runWithDdl(lane, runs, place, sql(table));
        await lane.run();
        await lane.runLater();
        expect(await lane.held()).toEqual([]);
        if (empties === true) {
          expect(await lane.source.rows(`select table_name, reason from bucardo.copy_needed`)).toEqual([
            { table_name: 'changed', reason: 'truncated' },
          ]);
          await requestCopy(lane.source, { sync: lane.sync.name });
          await lane.run();
        }
        await lane.expectEqual();
      }
      expect(beganAgain(lane), 'batches that began again').toBeGreaterThan(0);
    },
  );
});

describe('a table that is changed without a new file while it is being read', () => {
  const cases = NOT_REWRITING.map((ddl, kind) => ({ ...ddl, kind }));
  test.each(cases)('brings nothing wrong and loses nothing: $title', async ({ sql, undo, kind }) => {
    const lane = await laneWith(PLAIN);
    const runs = await interruptedRuns(lane);
    const places = await countPlaces(lane, runs);
    const kept = () => lane.target.rows(`select id from changed where id between 31 and 39 order by id`);
    const before = await kept();
    for (const place of placesFor(places, kind)) {
      await change(lane, place);
      await runWithDdl(lane, runs, place, sql('changed'));
      await lane.run();
      expect(await kept()).toEqual(before);
      const wrong = await lane.target.rows(`select id from changed where v = 999 or extra > 1000000`);
      expect(wrong, `at place ${place}`).toEqual([]);
      for (const statement of undo('changed')) await lane.source.script(statement);
      await lane.source.script(`update changed set v = v + 1 where id <= 50`);
      await lane.runLater();
      expect(await lane.held()).toEqual([]);
      expect(await lane.rejected()).toEqual([]);
      await lane.expectEqual();
    }
  });
});

test('a partition that is detached, rewritten and attached again while the table is read loses no row', async () => {
  const lane = await laneWith(PARTITIONED);
  const runs = await interruptedRuns(lane);
  const places = await countPlaces(lane, runs);
  for (let place = 1; place <= places; place += 1) {
    await change(lane, place);
    await runWithDdl(lane, runs, place, [
      `begin;
      alter table changed detach partition part;
      alter table part alter column v type int using v + 0;
      alter table changed attach partition part for values from (minvalue) to (30);
      commit`,
    ]);
    await lane.runLater();
    await lane.expectEqual();
  }
  expect(beganAgain(lane)).toBeGreaterThan(0);
});

test('a table that is changed each time that it is to be read waits alone', async () => {
  const lane = await laneWith(PLAIN);
  const runs = await interruptedRuns(lane);
  await change(lane, 1);
  await runs.run(async (asked) => {
    if (asked.server !== SOURCE || !asked.sql.includes('"changed" limit 0')) return;
    const ddl = await beginStatements(lane.sourceUrl, [
      'alter table changed alter column v type int using v + 0',
    ]);
    await ddl.done;
  });
  expect(await lane.held()).toMatchObject([{ table: 'public.changed', code: 'BUC-TABLE-LOCKED' }]);
  await lane.expectEqual(['public.other']);
  await lane.runLater();
  await lane.expectEqual();
});

test('deltas that `apply` rewrites while a batch looks for them are not passed over', async () => {
  const lane = await laneWith(PLAIN);
  const runs = await interruptedRuns(lane);
  const places = await countPlaces(lane, runs);
  for (let place = 1; place <= places; place += 1) {
    await change(lane, place);
    await runWithDdl(lane, runs, place, [
      `alter table bucardo.delta_public_changed alter column txid type bigint using txid + 0`,
    ]);
    await lane.run();
    await lane.expectEqual();
  }
  expect(beganAgain(lane)).toBeGreaterThan(0);
});
