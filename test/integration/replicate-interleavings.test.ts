/**
 * Whatever the order in which transactions begin, write and end, and wherever batches are cut: in the end every change has
 * arrived. Random interleavings on a real server; a failing one is printed with its seed.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Connection } from '../../shared/postgres/connection.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const SESSIONS = 4;
const KEYS = 3;

/** Each session has keys of its own (`key * SESSIONS + session`), so none ever waits for another. */
type Step =
  | { readonly kind: 'begin' | 'commit' | 'rollback'; readonly session: number }
  | {
      readonly kind: 'upsert' | 'delete' | 'move';
      readonly session: number;
      readonly table: 'a' | 'b';
      readonly key: number;
    }
  /** One batch only, or until nothing is pending. */
  | { readonly kind: 'batch' | 'run' }
  | { readonly kind: 'break' | 'mend' };

const session = fc.integer({ min: 0, max: SESSIONS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('begin', 'begin', 'begin', 'commit', 'commit', 'rollback'),
      session,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('upsert', 'upsert', 'delete', 'move'),
      session,
      table: fc.constantFrom('a', 'b'),
      key: fc.integer({ min: 0, max: KEYS - 1 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('batch', 'batch', 'run') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('break', 'mend') }) },
);

test.each([1, 2, 100_000])('every change arrives in the end, in batches of %i', async (batchRows) => {
  const lane = await createLaneFixture({
    schema: `create table a (id int primary key, v int); create table b (id int primary key, v int)`,
    batchRows,
  });
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => lane.session(lane.sourceUrl)));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const open = new Set<number>();
      for (const each of steps) await take(each, lane, sessions, open);
      for (const number of open) await sessions[number]?.script('commit');
      await take({ kind: 'mend' }, lane, sessions, open);
      await lane.source.run(`update bucardo.held_relation set retry_at = clock_timestamp()`);
      await lane.run();
      await lane.expectEqual();
      expect(await lane.held()).toEqual([]);
    }),
    { numRuns: 40, endOnFailure: true },
  );
  const { count } = await lane.target.row<{ count: string }>(`select count(*) from a`);
  expect(Number(count)).toBeGreaterThan(0);
});

test('a transaction that ran while later ones were delivered in part is delivered when it commits', async () => {
  const lane = await createLaneFixture({ schema: `create table a (id int primary key)`, batchRows: 1 });
  const [slow, slower] = [await lane.session(lane.sourceUrl), await lane.session(lane.sourceUrl)];
  await slow.script(`begin; insert into a values (1)`);
  await lane.source.script(`insert into a values (2)`);
  await slower.script(`begin; insert into a values (3)`);
  await lane.source.script(`insert into a values (4)`);
  await lane.source.script(`insert into a values (5)`);
  expect(await lane.run(lane.lane, 0)).toMatchObject({ batches: 1, more: true });
  await slow.script('commit');
  expect(await lane.run(lane.lane, 0)).toMatchObject({ batches: 1, more: true });
  await slower.script('commit');
  await lane.run();
  await lane.expectEqual();
});

async function take(
  each: Step,
  lane: LaneFixture,
  sessions: readonly Connection[],
  open: Set<number>,
): Promise<void> {
  switch (each.kind) {
    case 'batch':
      await lane.run(lane.lane, 0);
      return;
    case 'run':
      await lane.run();
      return;
    case 'break':
      await lane.target.script(`alter table if exists b rename to b_away`);
      return;
    case 'mend':
      await lane.target.script(`alter table if exists b_away rename to b`);
      await lane.source.run(`update bucardo.held_relation set retry_at = clock_timestamp()`);
      return;
    case 'begin':
      if (!open.has(each.session)) await sessions[each.session]?.script('begin');
      open.add(each.session);
      return;
    case 'commit':
    case 'rollback':
      if (open.delete(each.session)) await sessions[each.session]?.script(each.kind);
      return;
    case 'upsert':
    case 'delete':
    case 'move':
      await sessions[each.session]?.run(statementOf(each));
  }
}

function statementOf({
  kind,
  session,
  table,
  key,
}: Extract<Step, { kind: 'upsert' | 'delete' | 'move' }>): string {
  const id = key * SESSIONS + session;
  const other = ((key + 1) % KEYS) * SESSIONS + session;
  return {
    upsert: `insert into ${table} values (${id}, 1) on conflict (id) do update set v = ${table}.v + 1`,
    delete: `delete from ${table} where id = ${id}`,
    move: `update ${table} set id = ${other} where id = ${id} and not exists (select from ${table} where id = ${other})`,
  }[kind];
}
