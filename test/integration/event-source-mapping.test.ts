import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { SQSEvent } from 'aws-lambda';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type EventSourceMapping,
  type EventSourceMappingOptions,
  startEventSourceMapping,
} from '../../shared/local/event-source-mapping.ts';
import { type LocalSqs, type LocalSqsOptions, startLocalSqs } from '../../shared/local/sqs-server.ts';
import { parseKick } from '../../shared/queue/kick.ts';
import { createKickQueue, type KickQueue } from '../../shared/queue/kick-queue.ts';
import { createSqsClient } from '../../shared/queue/sqs-client.ts';
import { type Log, silentLog } from '../../shared/telemetry/log.ts';
import { startSqsProxy } from '../support/sqs-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

/** Comes back a second after it was received and not finished. */
const SHORT_VISIBILITY = { VisibilityTimeout: '1' };

async function start(options: LocalSqsOptions = {}): Promise<{ sqs: LocalSqs; queue: KickQueue }> {
  const sqs = await startLocalSqs(options);
  ended.push(() => sqs.close());
  const queue = queueOf(sqs);
  return { sqs, queue };
}

function queueOf(sqs: LocalSqs): KickQueue {
  const queue = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: sqs.endpoint });
  ended.push(async () => queue.close());
  return queue;
}

function map(
  sqs: LocalSqs,
  handler: (event: SQSEvent, context: { getRemainingTimeInMillis(): number }) => unknown,
  options: Partial<EventSourceMappingOptions> = {},
): EventSourceMapping {
  const mapping = startEventSourceMapping({
    queue: sqs.kicks,
    region: sqs.region,
    endpoint: sqs.endpoint,
    functionName: 'replicate',
    log: silentLog,
    handler: async (event, context) => handler(event, context),
    ...options,
  });
  ended.push(() => mapping.stop(0));
  return mapping;
}

function kick(lane: string, reason: 'change' | 'manual' = 'change') {
  return { lane, reason } as const;
}

function lanesIn(event: SQSEvent): string[] {
  return event.Records.map(({ body }) => parseKick(body).lane);
}

async function isEmpty(queue: KickQueue): Promise<boolean> {
  const { visible, inFlight } = await queue.depth();
  return visible + inFlight === 0;
}

/** Something that a test opens when it wants to. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

describe('the event', () => {
  it('has the shape that Lambda gives it', async () => {
    const { sqs, queue } = await start();
    let event: SQSEvent | undefined;
    map(sqs, (given) => {
      event = given;
    });
    await queue.send([kick('orders/reports')]);
    await waitFor(() => event !== undefined);

    expect(Object.keys(event ?? {})).toEqual(['Records']);
    const [record] = event?.Records ?? [];
    expect(record).toEqual({
      messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      receiptHandle: expect.any(String),
      body: '{"version":1,"lane":"orders/reports","reason":"change"}',
      attributes: {
        ApproximateReceiveCount: '1',
        SentTimestamp: expect.stringMatching(/^\d{13}$/),
        SenderId: expect.any(String),
        ApproximateFirstReceiveTimestamp: expect.stringMatching(/^\d{13}$/),
        SequenceNumber: expect.stringMatching(/^\d{20}$/),
        MessageGroupId: 'orders/reports',
        MessageDeduplicationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
      messageAttributes: {},
      md5OfBody: expect.stringMatching(/^[0-9a-f]{32}$/),
      eventSource: 'aws:sqs',
      eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:bucardo-kicks.fifo',
      awsRegion: 'us-east-1',
    });
    await waitFor(() => isEmpty(queue));
  });

  it('comes with a context whose time runs', async () => {
    const { sqs, queue } = await start();
    const remaining: number[] = [];
    map(
      sqs,
      async (_event, context) => {
        remaining.push(context.getRemainingTimeInMillis());
        await waitFor(() => context.getRemainingTimeInMillis() < (remaining[0] ?? 0));
        remaining.push(context.getRemainingTimeInMillis());
      },
      { timeoutSeconds: 30 },
    );
    await queue.send([kick('a/b')]);
    await waitFor(() => remaining.length === 2);
    expect(remaining[0]).toBeGreaterThan(25_000);
    expect(remaining[0]).toBeLessThanOrEqual(30_000);
  });
});

describe('order and concurrency', () => {
  it('handles the messages of one group one after the other, in the order sent', async () => {
    const { sqs, queue } = await start();
    const reasons: string[] = [];
    let active = 0;
    let mostActive = 0;
    map(sqs, async (event) => {
      active += 1;
      mostActive = Math.max(mostActive, active);
      reasons.push(...event.Records.map(({ body }) => parseKick(body).reason));
      await queue.depth();
      active -= 1;
    });
    const sent = Array.from({ length: 20 }, (_, index) =>
      index % 3 === 0 ? ('manual' as const) : ('change' as const),
    );
    for (const reason of sent) await queue.send([kick('orders/reports', reason)]);
    await waitFor(() => isEmpty(queue));
    expect(reasons).toEqual(sent);
    expect(mostActive).toBe(1);
  });

  it('does not let a slow lane hold up another', async () => {
    const { sqs, queue } = await start();
    const slow = gate();
    const handled: string[] = [];
    map(sqs, async (event) => {
      const [lane = ''] = lanesIn(event);
      if (lane === 'orders/slow') await slow.opened;
      handled.push(lane);
    });
    await queue.send([kick('orders/slow'), kick('orders/slow'), kick('orders/fast'), kick('orders/fast')]);
    await waitFor(() => handled.length === 2);
    expect(handled).toEqual(['orders/fast', 'orders/fast']);
    slow.open();
    await waitFor(() => isEmpty(queue));
    expect(handled).toHaveLength(4);
  });

  it('never runs more invocations at a time than it may, and uses all that it may', async () => {
    const { sqs, queue } = await start();
    const all = gate();
    let started = 0;
    const mapping = map(
      sqs,
      async () => {
        started += 1;
        await all.opened;
      },
      { maximumConcurrency: 3 },
    );
    await queue.send(Array.from({ length: 8 }, (_, index) => kick(`s${index}/t`)));
    await waitFor(() => started === 3);
    expect(mapping.active).toBe(3);
    expect(await queue.depth()).toMatchObject({ visible: 5, inFlight: 3 });
    all.open();
    await waitFor(() => isEmpty(queue));
    expect(started).toBe(8);
  });
});

describe('what the function answers', () => {
  it('deletes what it finished and brings back what it did not', async () => {
    const { sqs, queue } = await start({ attributes: SHORT_VISIBILITY });
    const tries = new Map<string, number>();
    map(
      sqs,
      (event) => {
        const failures = event.Records.filter(({ body }) => {
          const { lane } = parseKick(body);
          tries.set(lane, (tries.get(lane) ?? 0) + 1);
          return lane === 'orders/bad' && tries.get(lane) === 1;
        });
        return { batchItemFailures: failures.map(({ messageId }) => ({ itemIdentifier: messageId })) };
      },
      { batchSize: 10 },
    );
    await queue.send([kick('orders/good'), kick('orders/bad'), kick('orders/fine')]);
    await waitFor(() => isEmpty(queue));
    expect(Object.fromEntries(tries)).toEqual({ 'orders/good': 1, 'orders/bad': 2, 'orders/fine': 1 });
  });

  const failures: readonly (readonly [string, () => unknown])[] = [
    [
      'throws',
      () => {
        throw new Error('broken');
      },
    ],
    ['does not end in time', () => new Promise(() => {})],
    [
      'names a message that it was not given',
      () => ({ batchItemFailures: [{ itemIdentifier: 'stranger' }] }),
    ],
    ['answers with an entry without a name', () => ({ batchItemFailures: [{ itemIdentifier: '' }] })],
  ];
  it.each(failures)('keeps the whole batch when it %s', async (_name, misbehave) => {
    const { sqs, queue } = await start({ attributes: { VisibilityTimeout: '3' } });
    const counts = new Map<string, number[]>();
    map(
      sqs,
      async (event) => {
        for (const { body, attributes } of event.Records) {
          const { lane } = parseKick(body);
          counts.set(lane, [...(counts.get(lane) ?? []), Number(attributes.ApproximateReceiveCount)]);
        }
        if (event.Records.some(({ attributes }) => attributes.ApproximateReceiveCount === '1')) {
          return await misbehave();
        }
        return undefined;
      },
      { batchSize: 10, timeoutSeconds: 1 },
    );
    await queue.send([kick('a/b'), kick('c/d')]);
    await waitFor(() => isEmpty(queue));
    expect(Object.fromEntries(counts)).toEqual({ 'a/b': [1, 2], 'c/d': [1, 2] });
  });

  it('makes a dead letter of a message that failed as often as it may', async () => {
    const { sqs, queue } = await start({ attributes: SHORT_VISIBILITY, maxReceiveCount: 2 });
    let tries = 0;
    map(sqs, (event) => {
      if (!lanesIn(event).includes('orders/bad')) return undefined;
      tries += 1;
      throw new Error('broken');
    });
    await queue.send([kick('orders/bad'), kick('orders/good')]);
    await waitFor(() => isEmpty(queue));
    expect(tries).toBe(2);

    const client = createSqsClient({
      queueUrl: sqs.deadLetters.url,
      endpoint: sqs.endpoint,
      requestTimeoutMs: 5_000,
      maxAttempts: 1,
    });
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: sqs.deadLetters.url, MaxNumberOfMessages: 10 }),
    );
    client.destroy();
    expect(Messages.map(({ Body = '' }) => parseKick(Body).lane)).toEqual(['orders/bad']);
  });
});

describe('stopping', () => {
  it('waits for what is under way, and starts nothing more', async () => {
    const { sqs, queue } = await start();
    const first = gate();
    const started: string[] = [];
    const mapping = map(sqs, async (event) => {
      started.push(...lanesIn(event));
      await first.opened;
    });
    await queue.send([kick('a/b'), kick('a/b')]);
    await waitFor(() => started.length === 1);
    const stopped = mapping.stop();
    await queue.send([kick('c/d')]);
    first.open();
    await stopped;
    expect(started).toEqual(['a/b']);
    expect(await queue.depth()).toMatchObject({ visible: 2, inFlight: 0 });
  });

  it('gives back at once what did not end within the grace, and asks nothing of the queue after that', async () => {
    const { sqs, queue } = await start();
    const proxy = await startSqsProxy(sqs.endpoint);
    ended.push(() => proxy.close());
    let started = 0;
    const never = gate();
    const mapping = map(
      sqs,
      async () => {
        started += 1;
        await never.opened;
      },
      { endpoint: proxy.endpoint },
    );
    await queue.send([kick('a/b'), kick('c/d')]);
    await waitFor(() => started === 2);
    await mapping.stop(0);
    expect(await queue.depth()).toMatchObject({ visible: 2, inFlight: 0 });
    const requests = proxy.actions.length;

    // The abandoned handlers end after all: nothing is deleted that somebody else may have by now.
    never.open();
    await waitFor(() => mapping.active === 0);
    expect(proxy.actions).toHaveLength(requests);
    expect(await queue.depth()).toMatchObject({ visible: 2, inFlight: 0 });
  });

  it('loses no message, whenever it comes', async () => {
    const { sqs, queue } = await start();
    const handled: string[] = [];
    const lanes = Array.from({ length: 60 }, (_, index) => `s${index}/t`);
    const sending = (async () => {
      for (const lane of lanes) await queue.send([kick(lane)]);
    })();
    while (handled.length < lanes.length) {
      const before = handled.length;
      const mapping = map(sqs, (event) => void handled.push(...lanesIn(event)), { maximumConcurrency: 4 });
      await waitFor(() => handled.length > before);
      await mapping.stop();
      const { inFlight } = await queue.depth();
      expect(inFlight).toBe(0);
    }
    await sending;
    expect(new Set(handled)).toEqual(new Set(lanes));
    expect(handled).toHaveLength(lanes.length);
  });
});

it('goes on when the queue was away, also in the middle of an invocation', async () => {
  const { sqs, queue } = await start();
  const events: string[] = [];
  const log: Log = (_level, event) => events.push(event);
  const handled: string[] = [];
  const first = gate();
  map(
    sqs,
    async (event) => {
      handled.push(...lanesIn(event));
      await first.opened;
    },
    { log },
  );
  await queue.send([kick('a/b')]);
  await waitFor(() => handled.length === 1);
  await sqs.close();
  first.open();
  await waitFor(() => events.includes('queue.receive.failed'));

  const again = await startLocalSqs({ port: sqs.port });
  ended.push(() => again.close());
  await queueOf(again).send([kick('c/d')]);
  await waitFor(() => handled.includes('c/d'));
});
