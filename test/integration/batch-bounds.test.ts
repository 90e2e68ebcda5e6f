/** How much one transaction at the target may bring: one bound for all tables, whatever is pending. */
import { expect, test } from 'vitest';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const TABLES = ['a', 'b', 'c', 'd', 'e'];
const SCHEMA = TABLES.map((name) => `create table ${name} (id int primary key, note text)`).join('; ');

/** Rows by the transaction that brought them, in the order of these. */
async function rowsByTransaction({ target }: LaneFixture, tables = TABLES): Promise<readonly number[]> {
  const all = tables.map((name) => `select xmin::text::bigint as batch from ${name}`).join(' union all ');
  const batches = await target.rows<{ rows: number }>(
    `select count(*)::int as rows from (${all}) t group by batch order by batch`,
  );
  return batches.map(({ rows }) => rows);
}

/** Each row a transaction of its own, table after table. */
function singly(rows: number, tables = TABLES, from = 1): string {
  const inserts = tables.map((name) => `insert into ${name} values (i, 'one'); commit;`).join(' ');
  return `do $$ begin for i in ${from}..${from + rows - 1} loop ${inserts} end loop; end $$`;
}

test('a batch has at most batchRows changes, however many tables have some', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 100 });
  await lane.source.script(singly(90));
  await lane.run();
  await lane.expectEqual();
  expect(await rowsByTransaction(lane)).toEqual([100, 100, 100, 100, 50]);
});

test('batches beyond the first look are bounded the same way, and transactions stay whole', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 1_500 });
  // 700 rows in each of 7 transactions, over all tables: two fit, three do not.
  for (let i = 0; i < 7; i += 1) {
    const inserts = TABLES.map(
      (name) => `insert into ${name} select ${i * 140} + n, 'some' from generate_series(1, 140) n`,
    );
    await lane.source.script(`begin; ${inserts.join('; ')}; commit`);
  }
  await lane.run();
  await lane.expectEqual();
  expect(await rowsByTransaction(lane)).toEqual([1_400, 1_400, 1_400, 700]);
});

test('what waits in a held relation counts too, and the others are not held up by it', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 100 });
  await lane.target.script('alter table a rename to elsewhere');
  await lane.source.script(singly(150, ['a']));
  await lane.run();
  expect((await lane.held()).map(({ table }) => table)).toEqual(['public.a']);
  await lane.source.script(singly(60, ['b'], 500));
  await lane.target.script('alter table elsewhere rename to a');
  await lane.runLater();
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
  expect(await rowsByTransaction(lane)).toEqual([100, 100, 10]);
});

test('transactions that were still open at the last batch are counted among the first', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 10 });
  const slow = await lane.session(lane.sourceUrl);
  await slow.script(`begin; insert into a select n, 'slow' from generate_series(1, 8) n`);
  await lane.source.script(singly(1, TABLES, 50));
  await lane.run();
  await slow.script('commit');
  await lane.source.script(singly(1, TABLES, 100));
  await lane.run();
  await lane.expectEqual();
  expect(await rowsByTransaction(lane)).toEqual([5, 10, 3]);
});

test('a transaction that is larger than the bound arrives with the rows of all its tables', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 10 });
  const inserts = TABLES.map((name) => `insert into ${name} select n, 'large' from generate_series(1, 20) n`);
  await lane.source.script(`begin; ${inserts.join('; ')}; commit`);
  await lane.source.script(singly(1, TABLES, 100));
  await lane.run();
  await lane.expectEqual();
  expect(await rowsByTransaction(lane)).toEqual([100, 5]);
});
