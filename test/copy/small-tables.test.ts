/** Many small tables are copied together; what one of them meets does not keep the others from arriving. */
import { expect, test } from 'vitest';
import { createLaneFixture } from '../support/lane-fixture.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';

const NAMES = Array.from({ length: 250 }, (_, n) => `t${n}`);
/** Each of them is brought by itself once one is refused. */
const SOME = NAMES.slice(0, 20);
const EMPTY = NAMES.map((name) => `create table ${name} (id int primary key, note text)`).join('; ');
const FILLED = NAMES.map(
  (name, n) =>
    `${EMPTY.split('; ')[n]}; insert into ${name} select k, 'row' from generate_series(1, ${n % 7}) k`,
).join('; ');

for (const targetRole of [undefined, 'writer'] as const) {
  const where = targetRole === undefined ? 'in the replica role' : 'where foreign keys are checked';

  test(`hundreds of small tables arrive in a few transactions ${where}`, async () => {
    const family = `create table zparent (id int primary key, note text);
      create table achild (id int primary key, parent int not null references zparent)`;
    const lane = await createLaneFixture({
      schema: {
        source: `${FILLED}; ${family}; insert into zparent values (1, 'p'); insert into achild values (1, 1)`,
        target: `${EMPTY}; ${family}`,
      },
      copy: 'if-empty',
      targetRole,
    });
    await lane.run();
    await lane.expectEqual();
    expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
    const all = NAMES.map((name) => `select xmin::text from ${name}`).join(' union all ');
    const { batches } = await lane.target.row<{ batches: number }>(
      `select count(distinct xmin)::int as batches from (${all}) t`,
    );
    expect(batches).toBeLessThanOrEqual(3);
    await lane.source.script(
      `update t8 set note = 'changed'; delete from t9; insert into t7 values (99, 'new')`,
    );
    await lane.run();
    await lane.expectEqual();
  });
}

test('a row that the target refuses is parked, and all other tables arrive', async () => {
  const lane = await createLaneFixture({
    schema: { source: FILLED, target: `${EMPTY}; alter table t10 add check (id <> 2)` },
    copy: 'if-empty',
    tables: SOME.map((name) => `public.${name}`),
  });
  await lane.run();
  expect((await lane.rejected()).map(({ relation, key }) => [relation, key])).toEqual([
    ['public.t10', ['2']],
  ]);
  await lane.expectEqual(SOME.filter((name) => name !== 't10').map((name) => `public.${name}`));
  expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
});

test('a table that is missing at the target is held, and all others arrive', async () => {
  const lane = await createLaneFixture({
    schema: { source: FILLED, target: `${EMPTY}; drop table t20` },
    copy: 'if-empty',
  });
  await lane.run();
  expect((await lane.held()).map(({ table }) => table)).toEqual(['public.t20']);
  await lane.expectEqual(NAMES.filter((name) => name !== 't20').map((name) => `public.${name}`));
});

test('copies that are asked for again begin with empty tables', async () => {
  const lane = await createLaneFixture({ schema: { source: FILLED, target: EMPTY }, copy: 'if-empty' });
  await lane.run();
  await lane.target.script(`insert into t1 values (77, 'invented'); delete from t5`);
  await requestCopy(lane.source, { sync: lane.sync.name });
  await lane.run();
  await lane.expectEqual();
});
