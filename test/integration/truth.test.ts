/**
 * What a person is told is true: in each of these situations the target lacks something, or nobody can know whether it does. `status`,
 * `check` and `kick --wait` say so, each in its words, and none of them says that the lane is level or done.
 */
import { expect, test } from 'vitest';
import { createLaneFixture, type LaneFixture, type LaneFixtureOptions } from '../support/lane-fixture.ts';
import { judge, kickWait } from '../support/judges.ts';

interface Situation {
  readonly name: string;
  readonly options?: LaneFixtureOptions;
  /** Run after the lane has been level. */
  readonly arrange: (lane: LaneFixture) => Promise<unknown>;
  /** The state, and what stands below the table of `status`. */
  readonly status: readonly [state: string, text: RegExp];
  /** One finding: `severity code relation: text`. */
  readonly check: RegExp;
  /** Why the kick did not end well. Left out: it brings everything. */
  readonly kick?: RegExp;
  /** Nothing runs the kick. */
  readonly nobodyRuns?: true;
}

const TABLE = 'create table item (id int primary key, name text)';
const source = (sql: string) => (lane: LaneFixture) => lane.source.script(sql);

const situations: readonly Situation[] = [
  {
    name: 'changes wait, and nobody runs the lane',
    arrange: source(`insert into item values (1, 'x')`),
    status: ['behind', /behind +1/],
    check: /info changes-waiting : 1 changes wait/,
    kick: /no run that began after the kick has ended in time/,
    nobodyRuns: true,
  },
  {
    name: 'changes wait, and the kick brings them',
    arrange: source(`insert into item values (1, 'x')`),
    status: ['behind', /behind +1/],
    check: /info changes-waiting/,
  },
  {
    name: 'nothing waits, and nobody runs the lane',
    arrange: (lane) =>
      lane.source.script('update bucardo.lane_status set run_finished_at = null, run_started_at = null'),
    status: ['never ran', /never/],
    check: /info never-ran/,
    kick: /no run that began after the kick/,
    nobodyRuns: true,
  },
  {
    name: 'a table is held',
    arrange: async (lane) => {
      await lane.source.script(`alter table item add column extra int; insert into item values (1, 'x', 2)`);
      await lane.run();
    },
    status: ['held', /public\.item waits \(BUC-COLUMN-MISSING\)/],
    check: /warning BUC-COLUMN-MISSING public\.item: the relation waits/,
    kick: /column is missing at the target/i,
  },
  {
    name: 'a copy is wanted',
    arrange: source(`insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state)
      values ('orders', 'reports', 'public', 'item', 'always', 'wanted')`),
    status: ['copying', /public\.item waits for its copy/],
    check: /info copy-running public\.item/,
  },
  {
    name: 'a copy is under way, and nobody runs the lane',
    arrange:
      source(`insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state, started_at)
      values ('orders', 'reports', 'public', 'item', 'always', 'copying', now())`),
    status: ['copying', /public\.item +0 rows/],
    check: /info copy-running public\.item/,
    kick: /no run that began.*a copy is under way/,
    nobodyRuns: true,
  },
  {
    name: 'a TRUNCATE waits',
    arrange: source('truncate item'),
    status: ['behind', /behind +1/],
    check: /info changes-waiting/,
    kick: /public\.item needs a copy \(it was truncated\); bucardo copy orders --to reports --table public\.item/,
  },
  {
    name: 'a TRUNCATE has been met',
    arrange: async (lane) => {
      await lane.source.script('truncate item');
      await lane.run();
    },
    status: ['needs copy', /public\.item needs a copy \(it was truncated\)/],
    check: /warning BUC-COPY-NEEDED public\.item: .*it was truncated/,
    kick: /public\.item needs a copy/,
  },
  {
    name: 'rows are parked',
    arrange: async (lane) => {
      await lane.target.script(`alter table item add check (name <> 'bad')`);
      await lane.source.script(`insert into item values (1, 'bad'), (2, 'bad'), (3, 'good')`);
      await lane.run();
    },
    status: ['rejected', /2 rejected: bucardo rejected list orders --to reports/],
    check: /warning rows-rejected : 2 rows are parked/,
    kick: /2 rows are parked.*bucardo rejected list orders --to reports/,
  },
  {
    name: 'the lane is paused',
    arrange: source('update bucardo.lane_status set paused_at = now()'),
    status: ['paused', /changes wait: bucardo resume orders --to reports/],
    check: /warning lane-paused/,
    kick: /the lane is paused; bucardo resume orders --to reports/,
  },
  {
    name: 'the last run failed',
    arrange: async (lane) => {
      await lane.target.script('alter table item rename to gone');
      await lane.source.script(`update bucardo.lane_status set failures = 3, error_code = 'BUC-DB-FULL',
        error_detail = 'A database has no room left', error_at = now(), error_run_at = now()`);
    },
    status: ['failing', /BUC-DB-FULL, .* 3 in a row: A database has no room left/],
    check: /warning BUC-DB-FULL : the last run failed/,
    kick: /no run that began after the kick.*an earlier run failed: A database has no room left/,
    nobodyRuns: true,
  },
  {
    name: 'the lane’s kick is a dead letter',
    arrange:
      source(`update bucardo.lane_status set dead_letter_at = now(), failures = 1, error_code = 'BUC-LANE-DEAD-LETTER',
      error_detail = 'runs end without a report', error_at = now()`),
    status: ['failing', /bucardo redrive orders --to reports/],
    check: /warning BUC-LANE-DEAD-LETTER/,
    kick: /no run that began after the kick.*runs end without a report/,
    nobodyRuns: true,
  },
  {
    name: 'the source is another cluster’s copy',
    arrange: source(
      'update bucardo.progress set system_identifier = 1; update bucardo.origin set system_identifier = 1',
    ),
    status: ['source moved', /the source was restored or moved/],
    check: /warning source-moved/,
    kick: /public\.item needs a copy \(the source was restored\)/,
  },
  {
    name: 'a trigger is disabled',
    arrange: source('alter table item disable trigger bucardo_capture_insert'),
    status: ['needs copy', /public\.item may lack changes \(trigger bucardo_capture_insert is disabled/],
    check: /(warning|error) \S+ public\.item: .*bucardo_capture_insert/,
    kick: /public\.item may lack changes \(trigger bucardo_capture_insert is disabled/,
  },
  {
    name: 'a delta table is gone',
    arrange: source('drop table bucardo.delta_public_item'),
    status: ['needs copy', /public\.item may lack changes \(its delta table is gone\)/],
    check: /(warning|error) \S+ public\.item: .*delta table/,
    kick: /delta table is gone|delta_public_item/,
  },
  {
    name: 'a key column was renamed',
    arrange: source('alter table item rename column id to number'),
    status: ['key changed', /key column id of public\.item was renamed or dropped/],
    check: /error BUC-KEY-CHANGED public\.item: .*captured by \(id\)/,
    kick: /key column id of public\.item was renamed or dropped/,
  },
  {
    name: 'the configuration names a table that is not captured',
    arrange: source('create table late (id int primary key)'),
    status: ['not applied', /not captured yet: public\.late: bucardo apply/],
    check: /info BUC-NOT-APPLIED : .*Capture public\.late/,
    kick: /not captured yet: public\.late; bucardo apply/,
  },
  {
    name: 'the lane has no tables',
    arrange: source('delete from bucardo.sync_relation; drop table item cascade'),
    status: ['not applied', /no tables: bucardo check/],
    check: /warning nothing-matched/,
    kick: /the lane has no tables/,
  },
  {
    name: 'the control tables are of an earlier version',
    arrange: source(`drop table bucardo.copy_skipped; update bucardo.origin set schema_version = 2`),
    status: ['unknown', /bucardo apply/],
    check: /info BUC-NOT-APPLIED : .*Bring the control tables up to date/,
    kick: /not prepared/,
  },
  {
    name: 'the lane is not registered',
    arrange: source('delete from bucardo.progress'),
    status: ['unknown', /not prepared at the source: bucardo apply/],
    check: /info BUC-NOT-APPLIED : .*Register lane orders\/reports/,
    kick: /not prepared/,
  },
];

test.each(situations)('$name', async ({ options, arrange, status, check, kick, nobodyRuns }) => {
  const lane = await createLaneFixture({ schema: TABLE, ...options });
  await lane.run();
  expect((await judge(lane)).state).toBe('level');
  await arrange(lane);
  const judgement = await judge(lane);
  expect(judgement.state).toBe(status[0]);
  expect(judgement.statusText).toMatch(status[1]);
  expect(judgement.check.filter((finding) => check.test(finding))).not.toEqual([]);
  const outcome = await (nobodyRuns === true
    ? kickWait(lane, undefined, 1)
    : kickWait(lane, () => lane.run()));
  if (kick !== undefined) {
    expect(outcome).toMatchObject({ done: false });
    expect(outcome.error?.message).toMatch(kick);
    return;
  }
  expect(outcome).toEqual({ lane: 'orders/reports', done: true });
  expect((await judge(lane)).state).toBe('level');
  await lane.expectEqual();
});

test('a database that does not answer hides nothing: its lanes are unknown, or failing once a run has met it', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  const nowhere = 'postgres://127.0.0.1:1/nothing';
  const hidden = await judge(lane, { sourceUrl: nowhere });
  expect(hidden.state).toBe('unknown');
  expect(hidden.statusText).toMatch(/orders\/reports: A database cannot be reached/);
  expect(hidden.check.some((finding) => finding.startsWith('error BUC-DB-UNREACHABLE'))).toBe(true);
  const blind = await judge(lane, { targetUrl: nowhere });
  expect(blind.check.some((finding) => finding.startsWith('error BUC-DB-UNREACHABLE'))).toBe(true);
});
