/** The table of lanes' rows at a target: making it, the fence that it is, removing it. */
import { expect, test } from 'vitest';
import { withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { withPostgresDestination } from '../../shared/targets/postgres/open-destination.ts';
import { clearTargets, prepareTargets } from '../../shared/targets/lane-tables.ts';
import type { Destination } from '../../shared/targets/target.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

const LANE = { id: 'orders/reports', sync: 'orders', source: 'east', destination: 'reports' };
const EMPTY = { mark: null, held: {} };
const WRITER = `do $$ begin create role writer login; exception when duplicate_object or unique_violation then null; end $$`;

async function withLane(
  { url }: TestDatabase,
  body: (destination: Destination) => Promise<void>,
): Promise<void> {
  const connections = new ConnectionCache();
  try {
    await withPostgresDestination(connections, { database: 'reports', url, purpose: 'test' }, LANE, body);
  } finally {
    await connections.close();
  }
}

test('a role that may makes it once; for one that may not the statements are told that somebody else runs', async () => {
  const { fleet } = await createLaneFixture({ laneRows: false });
  const database = await createDatabase(WRITER);
  const as = (role: string) => async (_: string, body: Parameters<typeof withConnection>[1]) =>
    (await withConnection(
      { database: 'reports', url: database.urlAs(role), purpose: 'test' },
      body,
    )) as never;
  const [refused] = await prepareTargets(fleet, as('writer'));
  expect(refused).toMatchObject({ target: 'reports', done: false, problem: { code: 'BUC-DB-RIGHTS' } });
  const script = refused?.problem?.detail?.split('run as a role that may: ')[1] ?? '';
  const db = await database.app();
  await db.script(script);
  expect(await prepareTargets(fleet, as('writer'))).toEqual([{ target: 'reports', done: false }]);
  await db.script('drop schema bucardo cascade');
  expect(await prepareTargets(fleet, as('postgres'))).toEqual([{ target: 'reports', done: true }]);
  expect(await prepareTargets(fleet, as('postgres'))).toEqual([{ target: 'reports', done: false }]);
});

test('a target that does not answer is reported, and the next one is prepared', async () => {
  const { fleet } = await createLaneFixture({ laneRows: false, targets: 2 });
  const database = await createDatabase();
  const outcomes = await prepareTargets(fleet, async (name, body) => {
    const url = name === 'reports' ? 'postgres://postgres@127.0.0.1:1/none' : database.url;
    return await withConnection({ database: name, url, purpose: 'test' }, body);
  });
  expect(outcomes).toMatchObject([
    { target: 'reports', done: false, problem: { code: 'BUC-DB-UNREACHABLE' } },
    { target: 'reports_2', done: true },
  ]);
});

test('removing it leaves rows of other sources, and takes table and schema when there are none', async () => {
  const lane = await createLaneFixture({ schema: 'create table item (id int primary key)' });
  await lane.run();
  await lane.target.script(`insert into bucardo.lane (lane, source) values ('orders/reports', 'another/1')`);
  const { places } = await lane.target.row<{ places: string[] }>(
    `select array_agg(source) as places from bucardo.lane where source <> 'another/1'`,
  );
  const withTarget = async (_: string, body: Parameters<typeof withConnection>[1]) =>
    (await withConnection({ database: 'reports', url: lane.targetUrl(), purpose: 'test' }, body)) as never;
  expect(await clearTargets(lane.fleet, withTarget, places)).toEqual([{ target: 'reports', done: true }]);
  expect(await lane.target.rows('select source from bucardo.lane')).toEqual([{ source: 'another/1' }]);
  await clearTargets(lane.fleet, withTarget, ['another/1']);
  expect(await lane.target.rows(`select from pg_namespace where nspname = 'bucardo'`)).toEqual([]);
  expect(await clearTargets(lane.fleet, withTarget, places)).toEqual([{ target: 'reports', done: false }]);
});

test('a run writes nothing once a later run has begun, though it still has its session and its lock', async () => {
  const lane = await createLaneFixture({ schema: 'create table item (id int primary key)' });
  const database = { url: lane.targetUrl() } as TestDatabase;
  await withLane(database, async (late) => {
    const row = await late.raise('place/1');
    expect(row).toMatchObject({ run: 1n, writes: 0n });
    await late.stamp({ mark: '5:5:', held: {} });
    expect(late.written).toBe(1n);
    await lane.target.script(`update bucardo.lane set run = run + 1`);
    await expect(late.stamp(EMPTY)).rejects.toMatchObject({ code: 'BUC-LANE-OVERTAKEN' });
    expect(late.written).toBe(1n);
  });
  expect(await lane.target.rows('select run, writes, write_run, mark::text from bucardo.lane')).toEqual([
    { run: '2', writes: '1', write_run: '1', mark: '5:5:' },
  ]);
});

test('two sources whose lanes have the same name have a row each', async () => {
  const lane = await createLaneFixture({ schema: 'create table item (id int primary key, note text)' });
  const database = { url: lane.targetUrl() } as TestDatabase;
  await lane.source.script(`insert into item values (1, 'ours')`);
  await lane.run();
  await withLane(database, async (other) => {
    expect(await other.raise('place/1')).toMatchObject({ run: 1n, writes: 0n });
    await other.stamp(EMPTY);
  });
  await lane.source.script(`insert into item values (2, 'ours')`);
  await lane.run();
  await lane.expectEqual();
  expect(lane.events.filter(({ level }) => level !== 'info')).toEqual([]);
  expect(await lane.target.rows('select from bucardo.lane')).toHaveLength(2);
});
