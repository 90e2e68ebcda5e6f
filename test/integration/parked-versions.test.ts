/** A parked row keeps its own version: neither its refusal nor a retry makes it newer, and the lag counts from its change. */
import { expect, test } from 'vitest';
import { readStatus } from '../../shared/status/read-status.ts';
import { retryRejected } from '../../shared/status/rejected-rows.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const SCHEMA = {
  source: 'create table item (id int, at text, name text, primary key (id, at))',
  target: `create table item (id int, at text, name text check (name <> 'bad'), primary key (id, at))`,
};

/** As if the row had been changed an hour ago, by somebody. */
async function age(lane: LaneFixture, id: number, author: string): Promise<void> {
  await lane.source.run(
    `update bucardo.delta_public_item set txntime = now() - interval '1 hour', author = $2 where id = $1`,
    [id, author],
  );
}

async function deltasOf(lane: LaneFixture, id: number): Promise<unknown> {
  return await lane.source.rows(
    `select distinct now() - d.txntime > interval '50 minutes' as old, author from bucardo.delta_public_item d where id = $1`,
    [id],
  );
}

test('a refused row is parked, and pends again, with the version of its newest change', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, batchRows: 1 });
  await lane.source.script(`insert into item values (1, 'x', 'good')`);
  await lane.source.script(`update item set name = 'bad'`);
  await age(lane, 1, 'west');
  // Behind the bad row, so that it is tried again behind them.
  for (const id of [2, 3, 4]) await lane.source.script(`insert into item values (${id}, 'x', 'good')`);
  await lane.run();
  const parked = await lane.source.rows(
    `select key, now() - txntime > interval '50 minutes' as old, author from bucardo.rejected_row`,
  );
  expect(parked).toEqual([{ key: ['1', 'x'], old: true, author: 'west' }]);
  expect(await deltasOf(lane, 1)).toEqual([{ old: true, author: 'west' }]);

  // Nothing else waits: the lag is that of the row, not of the retry.
  await retryRejected(lane.source, { sync: 'orders' });
  expect(await deltasOf(lane, 1)).toEqual([{ old: true, author: 'west' }]);
  const [status] = await readStatus(lane.source, [lane.sync]);
  expect(status).toMatchObject({ pending: 1, rejectedRows: 1 });
  expect(status?.lagSeconds).toBeGreaterThan(3_000);

  // A newer change is the version then.
  await lane.source.script(`update item set name = 'bad' where id = 1`);
  await lane.run();
  expect(
    await lane.source.row(
      `select now() - txntime < interval '50 minutes' as new, author from bucardo.rejected_row`,
    ),
  ).toEqual({ new: true, author: null });
  await lane.target.script('alter table item drop constraint item_name_check');
  await retryRejected(lane.source, { sync: 'orders' });
  await lane.run();
  await lane.expectEqual();
  expect(await lane.rejected()).toEqual([]);
});

test('a row that a copy brought, and that has no delta, is as old as the copy', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA });
  await lane.source.script(`insert into item values (1, 'x', 'bad'), (2, 'x', 'good')`);
  await lane.run();
  await lane.source.script(`delete from bucardo.delta_public_item; delete from bucardo.rejected_row`);
  await lane.source
    .script(`insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state, started_at)
    values ('orders', 'reports', 'public', 'item', 'always', 'copying', now() - interval '1 hour')`);
  await lane.target.script('delete from item');
  await lane.run();
  expect(await lane.rejected()).toMatchObject([{ key: ['1', 'x'] }]);
  expect(await deltasOf(lane, 1)).toEqual([{ old: true, author: null }]);
});
