/** A target that was made from a dump of a captured source has the source's capture: what `check` says, and what lanes do there. */
import { expect, test } from 'vitest';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import type { Finding } from '../../shared/check/finding.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import type { Fleet } from '../../shared/config/types.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { CONTROL_TABLES } from '../../shared/capture/control-schema.ts';
import { createLaneTable as createAsRole } from '../../shared/targets/postgres/lane-table.ts';
import { applySource, deltasOf, sourceSync, withSource } from '../support/captured-source.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';

const SCHEMA = `
  create table orders (id int primary key, note text);
  create table "Odd ""name" (a text, b int, primary key (a, b))`;
const DELTA = 'delta_public_orders';

const ROLES = [
  ['the replica role', undefined],
  ['a role that may not set the replica role', 'writer'],
] as const;

/** As a dump leaves it: objects, and rows of the control tables only if the data was dumped too. */
async function captureAtTarget(lane: LaneFixture, capture: 'auto' | 'row'): Promise<void> {
  await applySource(lane.targetUrl(), [sourceSync({ capture })]);
  await lane.target.script(`truncate ${CONTROL_TABLES.map((name) => `bucardo.${name}`).join(', ')}`);
}

async function check(lane: LaneFixture, fleet: Fleet = lane.fleet): Promise<readonly Finding[]> {
  const findings = await checkFleet({
    fleet,
    resolveUrl: ({ name }) => Promise.resolve(name === SOURCE ? lane.sourceUrl : lane.laneUrl(name)),
  });
  return findings.filter(({ code }) => code === 'dumped-capture');
}

async function change(source: Connection, from: number): Promise<void> {
  await source.script(`
    insert into orders select n, 'new' from generate_series(${from}, ${from + 9}) n;
    insert into "Odd ""name" values ('x', ${from});
    update orders set note = 'changed' where id = ${from};
    update orders set id = id + 100000 where id = ${from + 1};
    delete from orders where id = ${from + 2}`);
}

/** Our objects: relations and functions of schema bucardo, and triggers that call into it. */
async function ours(db: Connection): Promise<readonly string[]> {
  const rows = await db.rows<{ name: string }>(`
    select relname::text as name from pg_class where relnamespace = 'bucardo'::regnamespace and relkind in ('r', 'S')
    union all select proname::text from pg_proc where pronamespace = 'bucardo'::regnamespace
    union all select t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
      where p.pronamespace = 'bucardo'::regnamespace
    order by 1`);
  return rows.map(({ name }) => name);
}

/** As psql does: statement by statement, going on after errors. Returns the errors' SQLSTATEs. */
async function runAll(db: Connection, remedy: string): Promise<readonly (string | undefined)[]> {
  const states: (string | undefined)[] = [];
  for (const statement of remedy.slice(remedy.indexOf(': ') + 2).split('; ')) {
    await db.script(statement).catch((error: unknown) => states.push(asBucardoError(error).sqlstate));
  }
  return states;
}

for (const [role, targetRole] of ROLES) {
  for (const capture of ['auto', 'row'] as const) {
    test(`a dumped capture (${capture}) is told and removed, and a lane of ${role} is not captured by it`, async () => {
      const lane = await createLaneFixture({ schema: SCHEMA, targetRole });
      await captureAtTarget(lane, capture);

      await change(lane.source, 1);
      await lane.run();
      await lane.expectEqual();
      expect(await deltasOf(lane.target, DELTA)).toEqual([]);

      await lane.target.script(`insert into orders values (-1, 'an application here')`);
      expect(await deltasOf(lane.target, DELTA)).toEqual(['-1']);
      await lane.target.script(`delete from orders where id = -1`);

      const [finding, ...others] = await check(lane);
      expect(others).toEqual([]);
      expect(finding).toMatchObject({ severity: 'warning', database: 'reports' });
      const { remedy = '' } = finding ?? {};
      // A role without rights on schema bucardo cannot see whose registry it is.
      expect(remedy).toMatch(/as the owner: set /);
      expect(await runAll(lane.target, remedy)).toEqual([]);
      expect(await ours(lane.target)).toEqual(['lane']);
      expect(await check(lane)).toEqual([]);

      await change(lane.source, 1000);
      await lane.run();
      await lane.expectEqual();
    });
  }

  test(`a lane of ${role} works beside a dumped capture without rights on its schema or a table of its own`, async () => {
    const lane = await createLaneFixture({ schema: SCHEMA, targetRole, laneRows: false });
    await captureAtTarget(lane, 'auto');
    const made = withSource(lane.laneUrl(), createAsRole);
    if (targetRole === undefined) expect(await made).toBe(true);
    else await expect(made).rejects.toThrow(/grant usage on schema bucardo to "?writer/);

    await change(lane.source, 1);
    await lane.run();
    await lane.expectEqual();
    expect(await deltasOf(lane.target, DELTA)).toEqual([]);
    expect(await check(lane)).toMatchObject([{ severity: 'warning', database: 'reports' }]);
  });
}

test('a copy and a lane beside a capture that was dumped with its data and is ENABLE ALWAYS are not captured', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, copy: 'always' });
  await applySource(lane.targetUrl(), [sourceSync()]);
  await lane.target.script(`
    update bucardo.origin set database_oid = 1;
    do $$
    declare
      found record;
    begin
      for found in select tgrelid::regclass as relation, tgname from pg_trigger
        where tgname like 'bucardo_capture_%' and tgrelid = 'orders'::regclass
      loop
        execute format('alter table %s enable always trigger %I', found.relation, found.tgname);
      end loop;
    end $$`);
  await change(lane.source, 1);
  await lane.run();
  await change(lane.source, 1000);
  await lane.run();
  await lane.expectEqual();
  expect(await deltasOf(lane.target, DELTA)).toEqual([]);
  expect(await lane.target.rows(`select table_name from bucardo.truncation`)).toEqual([]);
  expect(await check(lane)).toMatchObject([
    {
      severity: 'warning',
      remedy: expect.stringMatching(/^Run as the owner: set .*drop function/) as string,
    },
  ]);
});

test('statements that do not get a lock leave a capture that works, and the rest when they are run again', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA });
  await captureAtTarget(lane, 'auto');
  const reader = await lane.session(lane.targetUrl());
  await reader.script('begin; lock table orders in access share mode');
  const [finding] = await check(lane);
  const states = await runAll(lane.target, finding?.remedy ?? '');
  expect(states.slice(0, 2)).toEqual(['55P03', '2BP01']);
  await reader.script('commit');

  await lane.target.script(`insert into orders values (-1, 'an application here'); delete from orders`);
  expect(await deltasOf(lane.target, DELTA)).toEqual(['-1', '-1']);
  const [again] = await check(lane);
  expect(await runAll(lane.target, again?.remedy ?? '')).toEqual([]);
  expect(await ours(lane.target)).toEqual(['lane']);
});

test('a target that is a source of the configuration is no dump, and one of another configuration is not to be removed', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA });
  await applySource(lane.targetUrl());
  const [finding] = await check(lane);
  expect(finding).toMatchObject({ severity: 'info', code: 'dumped-capture' });
  expect(finding?.remedy).not.toContain('drop');

  const back = {
    ...sourceSync({ sync: 'back', targets: [SOURCE], tables: ['public.other'] }),
    source: 'reports',
  };
  const { fleet } = lane;
  const both = { ...fleet, syncs: new Map([...fleet.syncs, [back.name, back]]) };
  expect(await check(lane, both)).toEqual([]);
});
