import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { SQSEvent, SQSBatchResponse } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReplicateHandler } from '../../lambdas/replicate/create-handler.ts';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import {
  type EventSourceMapping,
  type EventSourceMappingOptions,
  startEventSourceMapping,
} from '../../shared/local/event-source-mapping.ts';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';
import type { Kick } from '../../shared/queue/kick.ts';
import { createKickQueue, type KickQueue } from '../../shared/queue/kick-queue.ts';
import { createSqsClient } from '../../shared/queue/sqs-client.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import type { LaneRunContext, LaneRunOutcome } from '../../shared/replicate/lane-run.ts';
import type { LogFields } from '../../shared/telemetry/log.ts';
import type { LaneRunMeasurement } from '../../shared/telemetry/metrics.ts';
import { waitFor } from '../support/wait-for.ts';

const DONE: LaneRunOutcome = { rows: 3, batches: 1, more: false };

const fleet: Fleet = {
  name: 'bucardo',
  aws: DEFAULT_AWS_SETTINGS,
  databases: new Map(),
  syncs: new Map([
    [
      'orders',
      {
        name: 'orders',
        source: 'east',
        targets: ['reports', 'archive', 'cache'],
        include: [],
        exclude: [],
        schedule: undefined,
        autokick: true,
        copy: 'never',
        batchRows: 100_000,
      },
    ],
  ]),
};

let sqs: LocalSqs;
let queue: KickQueue;
let events: (LogFields & { readonly event: string })[];
let measured: LaneRunMeasurement[];
const mappings: EventSourceMapping[] = [];

beforeEach(async () => {
  sqs = await startLocalSqs({ maxReceiveCount: 2 });
  queue = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: sqs.endpoint });
  events = [];
  measured = [];
});

afterEach(async () => {
  await Promise.all(mappings.splice(0).map((mapping) => mapping.stop(0)));
  queue.close();
  await sqs.close();
});

type RunLane = (lane: string, context: LaneRunContext) => Promise<LaneRunOutcome>;

interface Setting extends Partial<EventSourceMappingOptions> {
  readonly heartbeat?: { readonly visibilitySeconds: number; readonly intervalSeconds: number };
  readonly send?: KickQueue['send'];
}

/** The function behind the event source mapping; gives the answers that Lambda would see. */
function deploy(runLane: RunLane, { heartbeat, send = queue.send, ...options }: Setting = {}) {
  const answers: SQSBatchResponse[] = [];
  const handler = createReplicateHandler({
    fleet,
    resolveUrl: async () => 'postgres://nowhere',
    queue: { send, hideMessage: queue.hideMessage },
    runLane: ({ id }, context) => runLane(id, context),
    connections: new ConnectionCache(),
    log: (_level, event, fields) => events.push({ event, ...fields }),
    metrics: { laneRun: (measurement) => measured.push(measurement) },
    ...(heartbeat === undefined ? {} : { heartbeat }),
  });
  const mapping = startEventSourceMapping({
    queue: sqs.kicks,
    region: sqs.region,
    endpoint: sqs.endpoint,
    functionName: 'replicate',
    log: (_level, event, fields) => events.push({ event, ...fields }),
    handler: async (event: SQSEvent, context) => {
      const answer = await handler(event, context);
      answers.push(answer);
      return answer;
    },
    ...options,
  });
  mappings.push(mapping);
  return { mapping, answers };
}

/** The function alone, for batches that the stand-in never makes: it hands out one message of a group at a time. */
function withoutMapping(
  runLane: RunLane,
  hideMessage: KickQueue['hideMessage'] = async () => true,
): (event: SQSEvent) => Promise<SQSBatchResponse> {
  const handler = createReplicateHandler({
    fleet,
    resolveUrl: async () => 'postgres://nowhere',
    queue: { send: queue.send, hideMessage },
    runLane: ({ id }, context) => runLane(id, context),
    connections: new ConnectionCache(),
    log: () => {},
    metrics: { laneRun: () => {} },
  });
  return (event) => handler(event, { awsRequestId: 'by-hand', getRemainingTimeInMillis: () => 60_000 });
}

function kick(destination: string, reason: Kick['reason'] = 'change'): Kick {
  return { lane: `orders/${destination}`, reason };
}

async function isEmpty(): Promise<boolean> {
  const { visible, inFlight } = await queue.depth();
  return visible + inFlight === 0;
}

function eventsNamed(name: string): LogFields[] {
  return events.filter(({ event }) => event === name);
}

async function deadLetters(): Promise<string[]> {
  const client = createSqsClient({
    queueUrl: sqs.deadLetters.url,
    endpoint: sqs.endpoint,
    requestTimeoutMs: 5_000,
    maxAttempts: 1,
  });
  const { Messages = [] } = await client.send(
    new ReceiveMessageCommand({
      QueueUrl: sqs.deadLetters.url,
      MaxNumberOfMessages: 10,
      VisibilityTimeout: 0,
    }),
  );
  client.destroy();
  return Messages.map(({ Body = '' }) => Body);
}

function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

describe('a run', () => {
  it('is logged and measured once, and its kick is gone', async () => {
    deploy(async () => DONE);
    await queue.send([kick('reports', 'manual')]);
    await waitFor(isEmpty);
    expect(eventsNamed('lane.run.completed')).toEqual([
      {
        event: 'lane.run.completed',
        sync: 'orders',
        destination: 'reports',
        reason: 'manual',
        rows: 3,
        batches: 1,
        more: false,
        seconds: expect.any(Number),
        requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    ]);
    expect(measured).toEqual([
      { sync: 'orders', destination: 'reports', rows: 3, seconds: expect.any(Number), failed: false },
    ]);
  });

  it('is told a deadline before the function’s own', async () => {
    let deadlineMs = 0;
    const startedMs = Date.now();
    deploy(
      async (_lane, context) => {
        deadlineMs = context.deadlineMs;
        return DONE;
      },
      { timeoutSeconds: 60 },
    );
    await queue.send([kick('reports')]);
    await waitFor(isEmpty);
    expect(deadlineMs - startedMs).toBeGreaterThan(45_000);
    expect(deadlineMs - startedMs).toBeLessThan(55_000);
  });

  it('answers all messages that its lane has in the batch', async () => {
    const runs: string[] = [];
    const first = gate();
    const handler = withoutMapping(async (id) => {
      runs.push(id);
      await first.opened;
      return DONE;
    });
    const answer = handler(handMadeEvent(['reports', 'archive', 'reports', 'reports']));
    await waitFor(() => runs.length === 2);
    first.open();
    expect(await answer).toEqual({ batchItemFailures: [] });
    expect(runs).toEqual(['orders/reports', 'orders/archive']);
  });

  it('that fails fails all messages of its lane and none of others', async () => {
    const hidden: string[] = [];
    const handler = withoutMapping(
      async (id) => {
        if (id === 'orders/reports') throw new BucardoError('BUC-DB-UNREACHABLE');
        return DONE;
      },
      async (handle, seconds) => {
        hidden.push(`${handle} ${seconds}`);
        return true;
      },
    );
    const { batchItemFailures } = await handler(handMadeEvent(['reports', 'archive', 'reports', 'cache']));
    expect(batchItemFailures).toEqual([{ itemIdentifier: 'm0' }, { itemIdentifier: 'm2' }]);
    // Both are hidden for the first failure's delay in the end, and nothing hides them for longer afterwards.
    expect(hidden.filter((entry) => entry.startsWith('h0')).at(-1)).toBe('h0 2');
    expect(hidden.filter((entry) => entry.startsWith('h2')).at(-1)).toBe('h2 2');
  });

  it('runs for every kick, also for one that was sent long before the last run: clocks prove nothing', async () => {
    let runs = 0;
    const handler = withoutMapping(async () => {
      runs += 1;
      return DONE;
    });
    const now = Date.now();
    await handler(handMadeEvent(['reports'], now));
    await handler(handMadeEvent(['reports'], now - 60_000));
    expect(runs).toBe(2);
  });
});

describe('more to do', () => {
  it('kicks the lane again until there is nothing', async () => {
    let left = 3;
    deploy(async () => {
      left -= 1;
      return { ...DONE, more: left > 0 };
    });
    await queue.send([kick('reports')]);
    await waitFor(isEmpty);
    expect(left).toBe(0);
    expect(eventsNamed('lane.run.completed').map(({ reason }) => reason)).toEqual([
      'change',
      'continue',
      'continue',
    ]);
  });

  it('keeps the kick when the next one cannot be sent', async () => {
    let broken = true;
    let runs = 0;
    deploy(
      async () => {
        runs += 1;
        return { ...DONE, more: runs === 1 };
      },
      {
        send: async (kicks) => {
          if (broken) throw new BucardoError('BUC-QUEUE-FAILED');
          return await queue.send(kicks);
        },
      },
    );
    await queue.send([kick('reports')]);
    await waitFor(() => eventsNamed('lane.run.failed').length === 1);
    expect(await isEmpty()).toBe(false);
    broken = false;
    await waitFor(isEmpty);
    expect(runs).toBe(2);
  });
});

describe('a failing lane', () => {
  it('comes back after a growing delay, then becomes a dead letter; other lanes are not delayed', async () => {
    const triedAtMs: number[] = [];
    const good: string[] = [];
    deploy(
      async (lane) => {
        if (lane === 'orders/reports') {
          triedAtMs.push(performance.now());
          throw new BucardoError('BUC-DB-UNREACHABLE', { database: 'reports', detail: 'ECONNREFUSED' });
        }
        good.push(lane);
        return DONE;
      },
      { batchSize: 10 },
    );
    await queue.send([kick('reports'), kick('archive'), kick('cache')]);
    await waitFor(() => good.length === 2);
    expect(triedAtMs).toHaveLength(1);
    await waitFor(async () => (await deadLetters()).length === 1);
    expect(triedAtMs).toHaveLength(2);
    expect((triedAtMs[1] ?? 0) - (triedAtMs[0] ?? 0)).toBeGreaterThan(1_900);
    expect(eventsNamed('lane.run.failed')).toMatchObject([
      { sync: 'orders', destination: 'reports', code: 'BUC-DB-UNREACHABLE', retry: 'later', delaySeconds: 2 },
      { code: 'BUC-DB-UNREACHABLE', delaySeconds: 4 },
    ]);
    expect(measured.filter(({ failed }) => failed)).toHaveLength(2);
    expect(await isEmpty()).toBe(true);
  });

  it('that is only busy is tried again within the second and is no failure', async () => {
    let tries = 0;
    deploy(async () => {
      tries += 1;
      if (tries === 1) throw new BucardoError('BUC-LANE-BUSY');
      return DONE;
    });
    await queue.send([kick('reports')]);
    await waitFor(isEmpty);
    expect(tries).toBe(2);
    expect(eventsNamed('lane.run.failed')).toMatchObject([{ code: 'BUC-LANE-BUSY', delaySeconds: 1 }]);
    expect(measured.map(({ failed }) => failed)).toEqual([false, false]);
  });

  it('whose login was refused has the database’s URL asked for anew', async () => {
    const forgotten: string[] = [];
    const east = { name: 'east', engine: 'postgres', url: 'postgres://east', wake: 'notify' } as const;
    const handler = createReplicateHandler({
      fleet: { ...fleet, databases: new Map([['east', east]]) },
      resolveUrl: async () => '',
      forgetUrl: ({ name }) => forgotten.push(name),
      queue: { send: queue.send, hideMessage: async () => true },
      runLane: async ({ destination }) => {
        const code = destination === 'reports' ? 'BUC-DB-AUTH' : 'BUC-DB-UNREACHABLE';
        throw new BucardoError(code, { database: 'east' });
      },
      connections: new ConnectionCache(),
      log: () => {},
      metrics: { laneRun: () => {} },
    });
    const context = { awsRequestId: 'by-hand', getRemainingTimeInMillis: () => 60_000 };
    await handler(handMadeEvent(['archive']), context);
    expect(forgotten).toEqual([]);
    await handler(handMadeEvent(['reports']), context);
    expect(forgotten).toEqual(['east']);
  });

  it('with an error of unknown kind keeps its message and shows no text of it', async () => {
    deploy(async () => {
      throw new Error('duplicate key value (email)=(jane@example.com)');
    });
    await queue.send([kick('reports')]);
    await waitFor(async () => (await deadLetters()).length === 1);
    expect(eventsNamed('lane.run.failed')).toMatchObject([{ code: 'BUC-UNEXPECTED' }, {}]);
    expect(JSON.stringify(events)).not.toContain('jane@example.com');
  });

  it('is tried again when what it was sent is no kick, then kept as a dead letter', async () => {
    let ran = 0;
    deploy(async () => {
      ran += 1;
      return DONE;
    });
    await queue.send([{ lane: 'orders/nowhere', reason: 'change' }]);
    await waitFor(async () => (await deadLetters()).length === 1);
    expect(ran).toBe(0);
    expect(eventsNamed('kick.refused')).toMatchObject([{ code: 'BUC-LANE-UNKNOWN' }, {}]);
  });
});

describe('signs of life', () => {
  it('keep a kick hidden for as long as its run takes', async () => {
    let runs = 0;
    const started: number[] = [];
    deploy(
      async () => {
        runs += 1;
        started.push(performance.now());
        await waitFor(() => performance.now() - (started[0] ?? 0) > 3_500);
        return DONE;
      },
      { heartbeat: { visibilitySeconds: 1, intervalSeconds: 0.3 } },
    );
    await queue.send([kick('reports')]);
    await waitFor(isEmpty);
    expect(runs).toBe(1);
  });

  it('end with the process, and the kick comes back although the queue’s visibility is long', async () => {
    // What a killed process leaves: one sign of life, then none. Only the queue remembers.
    const dead = gate();
    let taken = false;
    const abandoned = deploy(
      async () => {
        taken = true;
        await dead.opened;
        return DONE;
      },
      { heartbeat: { visibilitySeconds: 2, intervalSeconds: 3_600 }, maximumConcurrency: 1 },
    );
    await queue.send([kick('reports')]);
    await waitFor(() => taken);
    let again = 0;
    deploy(async () => {
      again += 1;
      return DONE;
    });
    await waitFor(() => again === 1);
    expect(abandoned.answers).toEqual([]);
    dead.open();
    await waitFor(isEmpty);
  });
});

function handMadeEvent(destinations: readonly string[], sentAtMs = Date.now()): SQSEvent {
  return {
    Records: destinations.map((destination, index) => ({
      messageId: `m${index}`,
      receiptHandle: `h${index}`,
      body: JSON.stringify({ version: 1, lane: `orders/${destination}`, reason: 'change' }),
      attributes: {
        ApproximateReceiveCount: '1',
        SentTimestamp: String(sentAtMs),
        SenderId: 'test',
        ApproximateFirstReceiveTimestamp: String(sentAtMs),
        MessageGroupId: `orders/${destination}`,
      },
      messageAttributes: {},
      md5OfBody: '',
      eventSource: 'aws:sqs',
      eventSourceARN: sqs.kicks.arn,
      awsRegion: sqs.region,
    })),
  };
}
