/** Kicks that failed too often, and lanes that somebody paused: what the functions do about them, with a real source. */
import type { SQSEvent } from 'aws-lambda';
import { beforeEach, expect, test } from 'vitest';
import type { Announcement } from '../../lambdas/dead-letter/announce.ts';
import { createDeadLetterHandler } from '../../lambdas/dead-letter/create-handler.ts';
import { createKickHandler } from '../../lambdas/kick/create-handler.ts';
import { createOperateHandler } from '../../lambdas/operate/create-handler.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import type { Kick } from '../../shared/queue/kick.ts';
import type { WithDatabase } from '../../shared/config/with-fleet-database.ts';
import type { FleetStatus } from '../../shared/status/read-fleet-status.ts';
import { createLaneFixture, type LaneFixture, type LogEvent } from '../support/lane-fixture.ts';

const TABLE = 'create table item (id int primary key, name text)';
const MINUTE_MS = 60_000;

let kicks: Kick[];
let written: Kick[];
let hidden: number[];
let announced: Announcement[];
let measured: (string | undefined)[];
let events: LogEvent[];

beforeEach(() => {
  kicks = [];
  written = [];
  hidden = [];
  announced = [];
  measured = [];
  events = [];
});

const log = (level: string, event: string, fields = {}): void => void events.push({ level, event, fields });
const queue = {
  send: async (sent: readonly Kick[]) => {
    kicks.push(...sent);
    return sent.map((_, index) => `message-${index}`);
  },
};

function withSource(lane: LaneFixture, url = lane.sourceUrl): WithDatabase {
  return (name, body) => withConnection({ database: name, url, purpose: 'test function' }, body);
}

/** The dead-letter function on one letter; tells whether the letter is done with. */
async function handle(
  lane: LaneFixture,
  {
    body = JSON.stringify({ version: 1, lane: lane.lane.id, reason: 'change' }),
    ageMs = 0,
    url = lane.sourceUrl,
    broken = false,
  } = {},
): Promise<boolean> {
  const now = Date.now();
  const handler = createDeadLetterHandler({
    fleet: lane.fleet,
    queue: broken ? { send: () => Promise.reject(new BucardoError('BUC-QUEUE-FAILED')) } : queue,
    letters: {
      send: async (sent) => void written.push(...sent),
      hideMessage: async (_handle, seconds) => {
        hidden.push(seconds);
        return true;
      },
    },
    withDatabase: withSource(lane, url),
    announce: async (announcement) => void announced.push(announcement),
    log,
    metrics: { deadLetter: ({ sync }) => void measured.push(sync) },
    now: () => now,
  });
  const record = {
    messageId: 'letter',
    receiptHandle: 'handle',
    body,
    attributes: { SentTimestamp: String(now - ageMs), ApproximateReceiveCount: '1' },
  };
  const { batchItemFailures } = await handler({ Records: [record] } as unknown as SQSEvent);
  return batchItemFailures.length === 0;
}

async function status(lane: LaneFixture): Promise<Record<string, unknown>> {
  return await lane.source.row('select * from bucardo.lane_status');
}

async function failingLane(): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.source.script(`insert into item values (1, 'a')`);
  await lane.target.script('alter table item rename to elsewhere');
  await lane.source.script(`update bucardo.lane_status set failures = 24, error_code = 'BUC-DB-FULL',
    error_detail = 'no room', error_at = clock_timestamp(), run_finished_at = clock_timestamp() - interval '1 hour'`);
  return lane;
}

test('a letter of a failing lane is recorded, told once, tried again, and stays', async () => {
  const lane = await failingLane();
  expect(await handle(lane)).toBe(false);
  expect(kicks).toEqual([{ lane: 'orders/reports', reason: 'retry' }]);
  expect(hidden).toEqual([60]);
  expect(announced).toEqual([
    { fleet: 'test', lane: 'orders/reports', code: 'BUC-DB-FULL', message: 'no room', nextTrySeconds: 60 },
  ]);
  expect(await status(lane)).toMatchObject({
    failures: 24,
    error_code: 'BUC-DB-FULL',
    error_detail: 'no room',
  });
  expect((await status(lane))['dead_letter_at']).not.toBeNull();

  expect(await handle(lane, { ageMs: 10 * MINUTE_MS })).toBe(false);
  expect(hidden).toEqual([60, 600]);
  expect(announced).toHaveLength(1);
  expect(measured).toEqual(['orders']);
});

test('people are told even if the queue takes nothing then, and the letter stays', async () => {
  const lane = await failingLane();
  expect(await handle(lane, { broken: true })).toBe(false);
  expect(announced).toHaveLength(1);
  expect(await handle(lane, { ageMs: MINUTE_MS })).toBe(false);
  expect(kicks).toHaveLength(1);
  expect(announced).toHaveLength(1);
});

test('the letter goes when a run went well, and so do all others of the lane', async () => {
  const lane = await failingLane();
  expect(await handle(lane)).toBe(false);
  await lane.target.script('alter table elsewhere rename to item');
  await lane.run();
  expect(await status(lane)).toMatchObject({ failures: 0, dead_letter_at: null, error_code: null });
  expect(await handle(lane, { ageMs: MINUTE_MS })).toBe(true);
  expect(await handle(lane, { ageMs: MINUTE_MS })).toBe(true);
  expect(kicks).toHaveLength(1);
  await lane.expectEqual();
});

test('runs that end without a report get an error that says so', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  expect(await handle(lane)).toBe(false);
  expect(await status(lane)).toMatchObject({ failures: 1, error_code: 'BUC-LANE-DEAD-LETTER' });
  expect(announced).toMatchObject([{ code: 'BUC-LANE-DEAD-LETTER' }]);
});

test('a source that is away changes nothing but that nothing is recorded', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  expect(await handle(lane, { url: 'postgres://127.0.0.1:1/none' })).toBe(false);
  expect(kicks).toEqual([{ lane: 'orders/reports', reason: 'retry' }]);
  expect(hidden).toEqual([60]);
  expect(events.map(({ event }) => event)).toEqual(['dead-letter.source.failed', 'dead-letter.waiting']);
  expect(announced).toMatchObject([{ lane: 'orders/reports', code: 'BUC-DB-UNREACHABLE' }]);
});

test.each([
  ['another program’s message', 'hunter2'],
  ['a lane that the configuration had once', '{"version":1,"lane":"former/reports","reason":"change"}'],
])('%s is discarded, and told without quoting it', async (_, body) => {
  const lane = await createLaneFixture({ schema: TABLE });
  expect(await handle(lane, { body })).toBe(true);
  expect(events).toMatchObject([
    { level: 'error', event: 'dead-letter.discarded', fields: { messageId: 'letter' } },
  ]);
  expect(measured).toEqual([undefined]);
  expect(announced).toMatchObject([{ fleet: 'test', lane: undefined, nextTrySeconds: undefined }]);
  expect(JSON.stringify([events, announced])).not.toContain('hunter2');
  expect(kicks).toEqual([]);
});

test('a letter of a week is written anew before SQS would delete it', async () => {
  const lane = await failingLane();
  expect(await handle(lane, { ageMs: 8 * 24 * 60 * MINUTE_MS })).toBe(true);
  expect(written).toEqual([{ lane: 'orders/reports', reason: 'retry' }]);
});

test('a paused lane does nothing until it is resumed, and then brings everything over', async () => {
  const lane = await createLaneFixture({ schema: TABLE, targets: 2 });
  const operate = createOperateHandler({ fleet: lane.fleet, queue, withDatabase: withSource(lane), log });
  expect(await operate({ command: 'pause', sync: 'orders', to: 'reports' })).toEqual({
    lanes: ['orders/reports'],
  });
  await lane.source.script(`insert into item select n, 'x' from generate_series(1, 100) n`);
  expect(await lane.run()).toEqual({ rows: 0, batches: 0, more: false });
  expect(lane.events.map(({ event }) => event)).toContain('lane.run.paused');
  const [paused, other] = lane.lanes;
  await lane.run(other);
  await lane.expectEqual(undefined, 'reports_2');
  expect(await lane.target.rows('select from item')).toEqual([]);
  const { lanes } = (await operate({ command: 'status' })) as FleetStatus;
  expect(
    lanes.map(({ lane: id, pausedSecondsAgo, pending }) => [id, pausedSecondsAgo !== undefined, pending]),
  ).toEqual([
    ['orders/reports', true, 100],
    ['orders/reports_2', false, 0],
  ]);
  // Preparing the source again, as before a deployment, keeps it so.
  await lane.apply();
  expect(await lane.run()).toMatchObject({ batches: 0 });
  expect(await operate({ command: 'resume', sync: 'orders' })).toEqual({
    lanes: ['orders/reports', 'orders/reports_2'],
  });
  expect(kicks).toContainEqual({ lane: paused?.id, reason: 'manual' });
  await lane.run();
  await lane.expectEqual();
});

test('redrive kicks the lanes that have dead letters, and only these', async () => {
  const lane = await createLaneFixture({ schema: TABLE, targets: 2 });
  const operate = createOperateHandler({ fleet: lane.fleet, queue, withDatabase: withSource(lane), log });
  expect(await operate({ command: 'redrive' })).toEqual({ lanes: [] });
  await lane.source.script(
    `update bucardo.lane_status set dead_letter_at = now() where destination = 'reports_2'`,
  );
  expect(await operate({ command: 'redrive' })).toEqual({ lanes: ['orders/reports_2'] });
  expect(await operate({ command: 'redrive', to: 'reports' })).toEqual({ lanes: [] });
  expect(kicks).toEqual([{ lane: 'orders/reports_2', reason: 'retry' }]);
  await expect(operate({ command: 'redrive', to: 'none' })).rejects.toMatchObject({
    name: 'BUC-LANE-UNKNOWN',
  });
});

test('redrive names the lanes of which nobody can say whether they have dead letters', async () => {
  const lane = await createLaneFixture({ schema: TABLE, targets: 2 });
  const withDatabase = withSource(lane, 'postgres://127.0.0.1:1/none');
  const operate = createOperateHandler({ fleet: lane.fleet, queue, withDatabase, log });
  expect(await operate({ command: 'redrive', sync: 'orders', to: 'reports' })).toMatchObject({
    lanes: [],
    unknown: [{ lane: 'orders/reports' }],
  });
});

test('the kick function answers with message ids, and with the outcome if it waits', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  const context = { getRemainingTimeInMillis: () => 60_000 };
  const running = { send: async (sent: readonly Kick[]) => (void lane.run(), await queue.send(sent)) };
  const kick = createKickHandler({ fleet: lane.fleet, queue: running, withDatabase: withSource(lane), log });
  await lane.source.script(`insert into item values (1, 'a')`);
  expect(await kick({ sync: 'orders', wait: true }, context)).toEqual({
    kicks: [{ lane: 'orders/reports', messageId: 'message-0' }],
    outcomes: [{ lane: 'orders/reports', done: true }],
  });
  await lane.expectEqual();
  const quiet = createKickHandler({ fleet: lane.fleet, queue, withDatabase: withSource(lane), log });
  expect(await quiet({ schedule: 'rate(7 minutes)' }, context)).toEqual({ kicks: [] });
  await expect(quiet({ sync: 'none' }, context)).rejects.toMatchObject({
    name: 'BUC-LANE-UNKNOWN',
    stack: '',
  });
  await lane.source.script(`insert into item values (2, 'b')`);
  expect(await quiet({ sync: 'orders', wait: true, timeoutSeconds: 0.2 }, context)).toMatchObject({
    outcomes: [{ lane: 'orders/reports', done: false, error: { code: 'BUC-LANE-NOT-DONE' } }],
  });
});

test('a source of version 1 says that it wants apply, and loses nothing by it', async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.source.script(`insert into item values (1, 'a')`);
  await lane.run();
  await lane.source.script(`insert into item values (2, 'b')`);
  // The only difference between the versions.
  await lane.source.script(`alter table bucardo.lane_status drop column paused_at, drop column dead_letter_at;
    update bucardo.origin set schema_version = 1`);
  const known = async () => ({
    progress: await lane.source.rows('select * from bucardo.progress'),
    deltas: await lane.source.rows('select * from bucardo.delta_public_item'),
    status: await lane.source.rows('select sync, destination, total_rows from bucardo.lane_status'),
  });
  const before = await known();
  const notApplied = { name: 'BUC-NOT-APPLIED', message: expect.stringContaining('bucardo apply') as string };
  const operate = createOperateHandler({ fleet: lane.fleet, queue, withDatabase: withSource(lane), log });
  const kick = createKickHandler({ fleet: lane.fleet, queue, withDatabase: withSource(lane), log });
  await expect(operate({ command: 'pause', sync: 'orders' })).rejects.toMatchObject(notApplied);
  expect(await operate({ command: 'status' })).toMatchObject({
    unknown: [{ lane: 'orders/reports', problem: expect.stringContaining('bucardo apply') as string }],
  });
  expect(
    await kick({ sync: 'orders', wait: true }, { getRemainingTimeInMillis: () => 60_000 }),
  ).toMatchObject({ outcomes: [{ done: false, error: { code: 'BUC-NOT-APPLIED' } }] });
  await lane.apply();
  expect(await known()).toEqual(before);
  await lane.source.script(`alter table bucardo.lane_status drop column paused_at, drop column dead_letter_at;
    update bucardo.origin set schema_version = 1`);
  await expect(lane.run()).rejects.toMatchObject({ code: 'BUC-NOT-APPLIED' });
  await lane.apply();
  expect(await lane.source.row('select schema_version from bucardo.origin')).toEqual({ schema_version: 3 });
  await lane.run();
  await lane.expectEqual();
});
