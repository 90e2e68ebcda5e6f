/** Dead letters from beginning to end: real databases, a real queue, both functions behind it. Only the delays are shorter. */
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Announcement } from '../../lambdas/dead-letter/announce.ts';
import { createDeadLetterHandler } from '../../lambdas/dead-letter/create-handler.ts';
import { createReplicateHandler } from '../../lambdas/replicate/create-handler.ts';
import { type EventSourceMapping, startEventSourceMapping } from '../../shared/local/event-source-mapping.ts';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { createKickQueue, type KickQueue } from '../../shared/queue/kick-queue.ts';
import { createSqsClient } from '../../shared/queue/sqs-client.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { operate } from '../../shared/status/operate.ts';
import type { WithDatabase } from '../../shared/config/with-fleet-database.ts';
import type { Log } from '../../shared/telemetry/log.ts';
import { createLaneFixture, type LaneFixture, type LogEvent, SOURCE } from '../support/lane-fixture.ts';
import { waitFor } from '../support/wait-for.ts';

const NOWHERE = 'postgres://127.0.0.1:1/none';

let sqs: LocalSqs;
let kicks: KickQueue;
let letters: KickQueue;
let lane: LaneFixture;
let connections: ConnectionCache;
/** Databases that cannot be reached. */
let away: Set<string>;
let announced: Announcement[];
let events: LogEvent[];
let mappings: Map<string, EventSourceMapping>;

const log: Log = (level, event, fields = {}) => void events.push({ level, event, fields });
const urlOf = (name: string): string =>
  away.has(name) ? NOWHERE : name === SOURCE ? lane.sourceUrl : lane.targetUrl(name);
const withDatabase: WithDatabase = (name, body) =>
  withConnection({ database: name, url: urlOf(name), purpose: 'test function' }, body);

beforeEach(async () => {
  sqs = await startLocalSqs({ maxReceiveCount: 2 });
  kicks = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: sqs.endpoint });
  letters = createKickQueue({ queueUrl: sqs.deadLetters.url, endpoint: sqs.endpoint });
  lane = await createLaneFixture({ schema: 'create table item (id int primary key, name text)' });
  connections = new ConnectionCache();
  away = new Set();
  announced = [];
  events = [];
  mappings = new Map();
});

afterEach(async () => {
  await Promise.all([...mappings.values()].map((mapping) => mapping.stop(5_000)));
  await connections.close();
  kicks.close();
  letters.close();
  await sqs.close();
});

/** A minute is a second. */
function impatient({ hideMessage }: KickQueue): Pick<KickQueue, 'hideMessage'> {
  return { hideMessage: (handle, seconds) => hideMessage(handle, Math.ceil(seconds / 60)) };
}

function deployReplicate(): void {
  const handler = createReplicateHandler({
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => urlOf(name),
    queue: { send: kicks.send, ...impatient(kicks) },
    runLane,
    connections,
    log,
    metrics: { laneRun: () => {} },
  });
  const { region, endpoint } = sqs;
  mappings.set(
    'replicate',
    startEventSourceMapping({ queue: sqs.kicks, region, endpoint, handler, functionName: 'replicate', log }),
  );
}

function deployDeadLetter({ hideMessage } = impatient(letters)): void {
  const handler = createDeadLetterHandler({
    fleet: lane.fleet,
    queue: kicks,
    letters: { send: letters.send, hideMessage },
    withDatabase,
    announce: async (announcement) => void announced.push(announcement),
    log,
    metrics: { deadLetter: () => {} },
    now: Date.now,
  });
  const { region, endpoint } = sqs;
  mappings.set(
    'dead-letter',
    startEventSourceMapping({
      queue: sqs.deadLetters,
      region,
      endpoint,
      handler,
      functionName: 'dead-letter',
      log,
    }),
  );
}

interface Recorded {
  readonly failures: number;
  readonly code: string | null;
  readonly dead: boolean;
}

async function recorded(): Promise<Recorded> {
  return await lane.source.row<Recorded>(
    'select failures, error_code as code, dead_letter_at is not null as dead from bucardo.lane_status',
  );
}

async function count(queue: KickQueue): Promise<number> {
  const { visible, inFlight } = await queue.depth();
  return visible + inFlight;
}

const bothEmpty = async (): Promise<boolean> => (await count(letters)) + (await count(kicks)) === 0;
const happened = (name: string): boolean => events.some(({ event }) => event === name);
const change = (): Promise<void> =>
  lane.source.script(`insert into item select coalesce(max(id), 0) + 1, 'x' from item`);
const kick = { lane: 'orders/reports', reason: 'change' } as const;

test('two kicks of a lane whose target is down become letters, which go by themselves when it is back', async () => {
  deployReplicate();
  deployDeadLetter();
  away.add('reports');
  await change();
  await kicks.send([kick, kick]);
  await waitFor(async () => (await count(letters)) >= 2, 30_000, 'two letters');
  await waitFor(async () => (await recorded()).dead);
  expect(await recorded()).toMatchObject({ code: 'BUC-DB-UNREACHABLE' });
  expect((await recorded()).failures).toBeGreaterThanOrEqual(2);
  await change();
  away.delete('reports');
  await waitFor(bothEmpty, 40_000, 'no letter and no kick');
  await lane.expectEqual();
  expect(await recorded()).toEqual({ failures: 0, code: null, dead: false });
  expect(happened('dead-letter.recovered')).toBe(true);
  // Of all its letters and tries, people were told once.
  expect(announced).toMatchObject([{ lane: 'orders/reports', code: 'BUC-DB-UNREACHABLE' }]);
}, 90_000);

test('letters of a lane whose source is down stay, and go when it is back', async () => {
  deployReplicate();
  deployDeadLetter();
  away.add(SOURCE);
  await change();
  await kicks.send([kick]);
  await waitFor(() => happened('dead-letter.source.failed'), 30_000, 'a letter of a silent source');
  expect(await count(letters)).toBeGreaterThan(0);
  expect((await recorded()).dead).toBe(false);
  away.delete(SOURCE);
  await waitFor(bothEmpty, 40_000, 'no letter and no kick');
  await lane.expectEqual();
  expect(await recorded()).toEqual({ failures: 0, code: null, dead: false });
}, 90_000);

test('a letter goes although none of its kicks ran, when the lane is well by other means', async () => {
  deployReplicate();
  away.add('reports');
  await change();
  await kicks.send([kick]);
  await waitFor(async () => (await count(letters)) === 1, 30_000, 'a letter');
  // From here on nobody takes kicks.
  await mappings.get('replicate')?.stop(5_000);
  deployDeadLetter();
  await waitFor(async () => (await recorded()).dead);
  away.delete('reports');
  await lane.run();
  await waitFor(async () => (await count(letters)) === 0, 30_000, 'no letter');
  await lane.expectEqual();
  expect(await recorded()).toEqual({ failures: 0, code: null, dead: false });
  expect(await count(kicks)).toBeGreaterThan(0);
}, 90_000);

test('redrive does not wait for the letter’s next try', async () => {
  deployReplicate();
  deployDeadLetter({ hideMessage: letters.hideMessage });
  away.add('reports');
  await change();
  await kicks.send([kick]);
  // Its own new try has failed, too: nothing is left that would run before the letter is visible again, in a minute.
  await waitFor(async () => (await count(kicks)) === 0 && (await count(letters)) === 2, 30_000);
  away.delete('reports');
  const context = { fleet: lane.fleet, withDatabase, queue: kicks };
  expect(await operate({ command: 'redrive', sync: 'orders' }, context)).toEqual({ lanes: [kick.lane] });
  await waitFor(async () => !(await recorded()).dead);
  await lane.expectEqual();
  expect(await count(letters)).toBe(2);
  expect(await operate({ command: 'redrive' }, context)).toEqual({ lanes: [] });
}, 90_000);

test('messages that are no kick of a lane are discarded, loudly, and hold up no lane', async () => {
  deployReplicate();
  deployDeadLetter();
  const client = createSqsClient({
    queueUrl: sqs.kicks.url,
    endpoint: sqs.endpoint,
    requestTimeoutMs: 5_000,
    maxAttempts: 1,
  });
  const former = '{"version":1,"lane":"former/reports","reason":"change"}';
  for (const [group, body] of [
    ['orders/reports', 'hunter2'],
    ['former/reports', former],
  ]) {
    await client.send(
      new SendMessageCommand({
        QueueUrl: sqs.kicks.url,
        MessageBody: body,
        MessageGroupId: group,
        MessageDeduplicationId: group,
      }),
    );
  }
  client.destroy();
  await change();
  await kicks.send([kick]);
  await waitFor(() => events.filter(({ event }) => event === 'dead-letter.discarded').length === 2, 30_000);
  await waitFor(bothEmpty, 30_000, 'no letter and no kick');
  await lane.expectEqual();
  expect(announced.map(({ code }) => code).toSorted()).toEqual(['BUC-KICK-MALFORMED', 'BUC-LANE-UNKNOWN']);
  expect(announced.map(({ lane: id }) => id)).toEqual([undefined, undefined]);
  expect(JSON.stringify([events, announced])).not.toContain('hunter2');
}, 90_000);
