/** Values of every type arrive bit for bit, whichever way they take. */
import { describe, expect, inject, test } from 'vitest';
import { startPostgres } from '../../shared/local/postgres-server.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';
import {
  insertSamples,
  insertSingleSamples,
  multiplySamples,
  sampleColumns,
  sampleRows,
  sampleSchema,
  singleSampleSchema,
} from '../support/type-samples.ts';

const major = inject('serverMajor');
const schema = sampleSchema(major);
const rows = sampleRows(major);

/** A table beside the samples that refuses one of its rows, which sends the whole batch the careful way. */
const GUARDED = `create table guarded (id int primary key, amount int)`;

async function expectSamples(lane: LaneFixture, atLeast = rows): Promise<void> {
  const { count } = await lane.target.row<{ count: string }>(`select count(*) from samples`);
  expect(Number(count)).toBeGreaterThanOrEqual(atLeast);
  await lane.expectEqual(['public.samples']);
}

/** Every value moves to the next row, so every row is written with other values than before. */
const ROTATE = `
  update samples set ${sampleColumns(major)
    .map(({ name }) => `${name} = o.${name}`)
    .join(', ')}
  from samples o
  where o.id = case samples.id when 1 then ${rows} else samples.id - 1 end and samples.id <= ${rows}`;

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test('few rows', async () => {
    const lane = await createLaneFixture({ schema, targetRole });
    await lane.source.script(insertSamples(major));
    await lane.run();
    await expectSamples(lane);
    await lane.source.script(ROTATE);
    await lane.run();
    await expectSamples(lane);
  });

  test('few rows of more than a megabyte', async () => {
    const lane = await createLaneFixture({ schema, targetRole });
    await lane.source.script(insertSamples(major));
    await lane.source.script(`update samples set pad = repeat(id::text, 200000)`);
    await lane.run();
    await expectSamples(lane);
    await lane.source.script(ROTATE);
    await lane.source.script(`delete from samples where id = 2`);
    await lane.run();
    await expectSamples(lane, rows - 1);
  });

  test('thousands of rows', async () => {
    const lane = await createLaneFixture({ schema, targetRole });
    const times = Math.ceil(1_200 / rows);
    await lane.source.script(insertSamples(major));
    await lane.source.script(multiplySamples(major, times, 1_000));
    await lane.run();
    await expectSamples(lane, rows * times);
    await lane.source.script(`update samples set pad = 'again'; delete from samples where id % 7 = 0`);
    await lane.run();
    await lane.expectEqual();
  });

  test('beside a row that is refused', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `${schema}; ${GUARDED}`,
        target: `${schema}; ${GUARDED}; alter table guarded add check (amount < 10)`,
      },
      targetRole,
    });
    await lane.source.script(`${insertSamples(major)}; insert into guarded values (1, 5), (2, 10), (3, 6)`);
    await lane.run();
    await expectSamples(lane);
    await lane.source.script(`${ROTATE}; delete from samples where id = 3; update guarded set amount = 11`);
    await lane.run();
    await expectSamples(lane, rows - 1);
    expect((await lane.rejected()).map(({ key }) => key)).toEqual([['1'], ['2'], ['3']]);
  });

  test('in a first copy, and in a chunk that is repeated', async () => {
    const times = Math.ceil(1_200 / rows);
    const lane = await createLaneFixture({
      schema: {
        source: `${schema}; ${insertSamples(major)}; ${multiplySamples(major, times, 1_000)}`,
        target: schema,
      },
      targetRole,
      copy: 'if-empty',
    });
    await lane.run();
    await expectSamples(lane, rows * times);

    await lane.source.script(`
      insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state, chunk_open)
      values ('orders', 'reports', 'public', 'samples', 'always', 'copying', true)`);
    await lane.target.script(`
      delete from samples where id % 2 = 0;
      update samples set pad = 'of an earlier attempt', v0 = 7 where id % 3 = 0`);
    await lane.run();
    await expectSamples(lane, rows * times);
  });
});

test('each type in a table of its own, so that it travels in the format that it allows', async () => {
  const single = singleSampleSchema(major);
  const lane = await createLaneFixture({
    schema: { source: `${single}; ${insertSingleSamples(major)}`, target: single },
    copy: 'if-empty',
  });
  await lane.run();
  await lane.expectEqual();
  // A value that one format cannot bring would have been tried again in another way.
  expect(lane.events.filter(({ level }) => level !== 'info')).toEqual([]);
  expect(await lane.rejected()).toEqual([]);
});

test('a value that an older server lacks never arrives as another one', async () => {
  await using newest = await startPostgres();
  const tables = `
    create table amounts (id int primary key, amount numeric);
    create table waits (id int primary key, wait interval)`;
  const lane = await createLaneFixture({
    sourceServer: newest,
    schema: {
      source: `${tables};
        insert into amounts values (1, 1.5), (2, 'infinity'), (3, '-infinity');
        insert into waits values (1, '1 day'), (2, 'infinity'), (3, '-infinity')`,
      target: tables,
    },
    copy: 'if-empty',
  });
  await lane.run();
  const refused = [['2'], ['3']];
  const rejected = await lane.rejected();
  const keysOf = (name: string) =>
    rejected.filter(({ relation }) => relation === `public.${name}`).map(({ key }) => key);
  // Since Postgres 14 and 17.
  expect(keysOf('amounts')).toEqual(major < 14 ? refused : []);
  expect(keysOf('waits')).toEqual(major < 17 ? refused : []);
  if (major >= 14) await lane.expectEqual(['public.amounts']);
  if (major >= 17) await lane.expectEqual(['public.waits']);
  expect(await lane.target.rows('select id from amounts where amount = 1.5')).toEqual([{ id: 1 }]);
  expect(await lane.target.rows(`select id from waits where wait = '1 day'`)).toEqual([{ id: 1 }]);
});

test('bytes that are no characters never arrive as other ones: their row is parked, the others go on', async () => {
  const lane = await createLaneFixture({
    encodings: { source: 'SQL_ASCII', target: 'SQL_ASCII' },
    schema: `create table notes (id int primary key, note text); create table other (id int primary key)`,
  });
  await lane.source.script(`
    set client_encoding = sql_ascii; insert into notes values (1, E'caf\\xe9'), (2, 'plain'); insert into other values (1)`);
  await lane.run();
  expect(await lane.held()).toEqual([]);
  expect(await lane.rejected()).toMatchObject([
    { key: ['1'], code: 'BUC-ROW-UNREADABLE', message: expect.stringMatching(/SQLSTATE 22021/) },
  ]);
  await lane.expectEqual(['public.other']);
  expect(await lane.target.rows(`select * from notes`)).toEqual([{ id: 2, note: 'plain' }]);
});

test('text arrives in a database of another encoding; a table with what that lacks waits', async () => {
  const lane = await createLaneFixture({
    encodings: { target: 'LATIN1' },
    schema: `create table notes (id int primary key, note text)`,
  });
  await lane.source.script(`insert into notes values (1, 'café')`);
  await lane.run();
  await lane.source.script(`insert into notes values (2, '中')`);
  await lane.run();
  expect(await lane.target.rows(`select * from notes`)).toEqual([{ id: 1, note: 'café' }]);
  expect(await lane.held()).toMatchObject([
    { table: 'public.notes', detail: expect.stringMatching(/cannot be converted.*SQLSTATE 22P05/) },
  ]);
});
