/** `kick --wait` tells the outcome of a run that began after the kick, whatever was before it and whatever the clocks say. */
import { afterEach, expect, test, vi } from 'vitest';
import { acceptRows } from '../../shared/replicate/accept-rows.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { recordFailure, recordRun } from '../../shared/replicate/lane-status.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { askForRuns } from '../../shared/status/wait-for-lane.ts';
import { judge, kickWait } from '../support/judges.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

afterEach(() => vi.useRealTimers());

const TABLE = 'create table item (id int primary key, name text)';
const DONE = { lane: 'orders/reports', done: true };

test('a table that was held, and whose cause is mended, is tried again by the kick before its time', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.source.script(`alter table item add column extra int; insert into item values (1, 'x', 2)`);
  await lane.run();
  await lane.source.script(`update bucardo.held_relation set retry_at = now() + interval '1 day'`);
  // Another run leaves it alone.
  await lane.run();
  expect(await lane.held()).toMatchObject([{ code: 'BUC-COLUMN-MISSING' }]);
  await lane.target.script('alter table item add column extra int');
  expect(await kickWait(lane, () => lane.run())).toEqual(DONE);
  await lane.expectEqual();
});

test('a table that is still held tells the error of the kicked run, not the one from before', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.source.script(`alter table item add column extra int; insert into item values (1, 'x', 2)`);
  await lane.run();
  await lane.target.script('alter table item add column extra int, add column more int not null');
  const outcome = await kickWait(lane, () => lane.run());
  expect(outcome.error?.message).toMatch(/wants a column that the source lacks/);
  expect(outcome.error?.message).not.toMatch(/missing at the target/);
});

test('changes of a held table wait at the table’s own mark, and are not done when the lane’s mark has passed them', async () => {
  const lane = await createLaneFixture({ schema: `${TABLE}; create table other (id int primary key)` });
  await lane.target.script('alter table item rename to gone');
  await lane.source.script(`insert into item values (1, 'x'); insert into other values (1)`);
  const outcome = await kickWait(lane, () => lane.run());
  expect(outcome).toMatchObject({ done: false });
  expect(outcome.error?.message).toMatch(/table does not exist.*public\.item/);
  await lane.expectEqual(['public.other']);
});

test('an error of a run that began before the kick is not the outcome, even if it is recorded after it', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  const functions = await lane.session(lane.sourceUrl);
  await lane.source.script(`insert into item values (1, 'x')`);
  const began = { lookedAt: undefined, startedAtMs: performance.now(), newRows: 0 };
  const outcome = await kickWait(lane, async () => {
    await recordFailure(functions, lane.lane, new BucardoError('BUC-DB-FULL'), began);
    await lane.run();
  });
  expect(outcome).toEqual(DONE);
});

test('an error of a run that began after the kick is the outcome', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  const functions = await lane.session(lane.sourceUrl);
  const outcome = await kickWait(lane, async () => {
    const began = { lookedAt: undefined, startedAtMs: performance.now(), newRows: 0 };
    await recordFailure(functions, lane.lane, new BucardoError('BUC-DB-FULL'), began);
  });
  expect(outcome.error?.message).toMatch(/A database has no room left/);
});

test('a look that began before the kick does not count, even if it is recorded after it', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  const functions = await lane.session(lane.sourceUrl);
  const { now } = await lane.source.row<{ now: string }>('select clock_timestamp() as now');
  const run = {
    startedAt: now,
    lookedAt: now,
    deltasPerSecond: undefined,
    seconds: 0,
    rows: 1,
    batches: 1,
    newRows: 1,
  };
  const outcome = await kickWait(lane, () => recordRun(functions, lane.lane, run), 1);
  expect(outcome.error?.message).toMatch(/no run that began after the kick/);
});

test('runs that find nothing leave a trace for somebody who waits, and otherwise only now and then', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.run();
  const version = async (): Promise<string> =>
    (await lane.source.row<{ version: string }>('select xmin::text as version from bucardo.lane_status'))
      .version;
  const before = await version();
  await lane.run();
  await lane.run();
  expect(await version()).toBe(before);
  await askForRuns(lane.source, [lane.lane]);
  const asked = await version();
  await lane.run();
  const told = await version();
  expect(told).not.toBe(asked);
  await lane.run();
  expect(await version()).toBe(told);
});

test('runs are dated by the source’s clock, so that a function whose clock is years off says the truth', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2001-01-01') });
  await lane.source.script(`insert into item values (1, 'x')`);
  await lane.run(lane.lane, Date.now() + 60_000);
  vi.useRealTimers();
  const { recent } = await lane.source.row<{ recent: boolean }>(
    `select now() - run_started_at < interval '1 hour' and now() - looked_at < interval '1 hour' as recent
     from bucardo.lane_status`,
  );
  expect(recent).toBe(true);
  expect(await kickWait(lane, () => lane.run())).toEqual(DONE);
});

test('a first copy that found rows at the target is told until the table is copied or the rows are accepted', async () => {
  const lane = await createLaneFixture({
    schema: `${TABLE}; create table empty (id int primary key)`,
    copy: 'if-empty',
  });
  await lane.source.script(`insert into item values (1, 'here')`);
  await lane.target.script(`insert into item values (2, 'there')`);
  const wanted = await judge(lane);
  expect(wanted.state).toBe('copying');
  const warning = (judged: typeof wanted) =>
    judged.check.filter((finding) => finding.includes('copy-skipped'));
  expect(warning(wanted)).toEqual([
    expect.stringMatching(/warning copy-skipped public\.item: the target’s table has rows/),
  ]);
  const outcome = await kickWait(lane, () => lane.run());
  expect(outcome).toEqual({ ...DONE, notes: [expect.stringMatching(/^not copied, .*: public\.item;/)] });
  expect(
    lane.events.filter(({ event }) => event === 'lane.copy.skipped').map(({ fields }) => fields),
  ).toEqual([{ sync: 'orders', destination: 'reports', relation: 'public.item' }]);
  const skipped = await judge(lane);
  expect(skipped.statusText).toMatch(
    /not copied, because the target had rows, which may differ: public\.item;/,
  );
  expect(warning(skipped)).toHaveLength(1);
});

test('a copy that was skipped is settled by a copy, or by accepting the rows', async () => {
  const lane = await createLaneFixture({ schema: TABLE, targets: 2, copy: 'if-empty' });
  await lane.source.script(`insert into item values (1, 'here')`);
  for (const name of ['reports', 'reports_2']) {
    const target = await lane.session(lane.targetUrl(name));
    await target.script(`insert into item values (2, 'there')`);
  }
  for (const one of lane.lanes) await lane.run(one);
  const skipped = async (): Promise<readonly string[]> =>
    (
      await lane.source.rows<{ destination: string }>(
        'select destination from bucardo.copy_skipped order by 1',
      )
    ).map(({ destination }) => destination);
  expect(await skipped()).toEqual(['reports', 'reports_2']);
  await requestCopy(lane.source, { sync: 'orders', destination: 'reports' });
  await lane.run();
  await lane.expectEqual();
  expect(await skipped()).toEqual(['reports_2']);
  expect(await acceptRows(lane.source, { sync: 'orders', destination: 'reports_2' })).toHaveLength(1);
  expect(await skipped()).toEqual([]);
  expect(await acceptRows(lane.source, { sync: 'orders' })).toEqual([]);
});

test('rows that a run delivered before it failed are counted', async () => {
  const lane = await createLaneFixture({ schema: TABLE, batchRows: 1 });
  await lane.source.script(`insert into item values (1, 'x')`);
  await lane.source.script(`insert into item values (2, 'x')`);
  // The second batch meets an error of the whole lane.
  await lane.target.script(`create function stop() returns trigger language plpgsql as $$
    begin raise exception using errcode = '53100'; end $$;
    create trigger stop before insert on item for each row when (new.id = 2) execute function stop();
    alter table item enable always trigger stop`);
  await expect(lane.run()).rejects.toMatchObject({ code: 'BUC-DB-FULL' });
  expect(await lane.source.row('select total_rows, failures from bucardo.lane_status')).toEqual({
    total_rows: '1',
    failures: 1,
  });
});
