import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';
import { parseKick } from '../../shared/queue/kick.ts';
import { createKickQueue, type KickQueue } from '../../shared/queue/kick-queue.ts';
import { createSqsClient } from '../../shared/queue/sqs-client.ts';
import { type SqsProxy, startSqsProxy } from '../support/sqs-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

let sqs: LocalSqs;
let proxy: SqsProxy;
/** Sends by way of the proxy. */
let queue: KickQueue;

beforeEach(async () => {
  sqs = await startLocalSqs();
  proxy = await startSqsProxy(sqs.endpoint);
  queue = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: proxy.endpoint });
});

afterEach(async () => {
  queue.close();
  await proxy.close();
  await sqs.close();
});

const CHANGE = { lane: 'orders/reports', reason: 'change' } as const;

/** Lanes `s0/t`, `s1/t`, …: groups of their own, so that all can be received. */
function lanes(count: number) {
  return Array.from({ length: count }, (_, index) => ({ lane: `s${index}/t`, reason: 'change' }) as const);
}

async function receivedLanes(): Promise<string[]> {
  return [...(await receive()).values()].sort();
}

/** The lanes of the messages with these ids, in their order. */
async function receivedLaneOf(messageIds: readonly string[]): Promise<(string | undefined)[]> {
  const found = await receive();
  return messageIds.map((id) => found.get(id));
}

/** Everything that can be received: lanes by message id. */
async function receive(): Promise<ReadonlyMap<string, string>> {
  const client = createSqsClient({
    queueUrl: sqs.kicks.url,
    endpoint: sqs.endpoint,
    requestTimeoutMs: 5_000,
    maxAttempts: 1,
  });
  const found = new Map<string, string>();
  for (;;) {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: sqs.kicks.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 0 }),
    );
    if (Messages.length === 0) break;
    for (const { MessageId = '', Body = '' } of Messages) found.set(MessageId, parseKick(Body).lane);
  }
  client.destroy();
  return found;
}

describe('sending kicks', () => {
  it('brings every kick to the queue, ten in one request', async () => {
    const kicks = lanes(25);
    await queue.send(kicks);
    expect(proxy.actions).toEqual(['SendMessageBatch', 'SendMessageBatch', 'SendMessageBatch']);
    expect(await queue.depth()).toEqual({ visible: 25, inFlight: 0, delayed: 0 });
    expect(await receivedLanes()).toEqual(kicks.map(({ lane }) => lane).sort());
    expect(await queue.depth()).toEqual({ visible: 0, inFlight: 25, delayed: 0 });
  });

  it('sends nothing for no kicks', async () => {
    await queue.send([]);
    expect(proxy.actions).toEqual([]);
  });

  it('keeps equal kicks apart: none is taken for a double of another', async () => {
    await queue.send([CHANGE, CHANGE]);
    await queue.send([CHANGE]);
    expect((await queue.depth()).visible).toBe(3);
  });

  it('repeats the entries of a batch that were not accepted, and only these', async () => {
    proxy.faults.push(
      { kind: 'accept only', positions: [0, 2, 5], senderFault: false },
      { kind: 'accept only', positions: [1], senderFault: false },
    );
    await queue.send(lanes(7));
    expect(proxy.actions).toHaveLength(3);
    expect(await receivedLanes()).toEqual(lanes(7).map(({ lane }) => lane));
  });

  it('gives the message ids in the order of the kicks, whichever attempt took them', async () => {
    proxy.faults.push({ kind: 'accept only', positions: [1, 3, 8], senderFault: false });
    const kicks = lanes(13);
    const ids = await queue.send(kicks);
    expect(new Set(ids).size).toBe(13);
    expect(await receivedLaneOf(ids)).toEqual(kicks.map(({ lane }) => lane));
  });

  it('does not double a kick whose acceptance was lost on the way back', async () => {
    proxy.faults.push({ kind: 'lose answer' });
    await queue.send(lanes(3));
    expect(proxy.actions).toHaveLength(2);
    expect((await queue.depth()).visible).toBe(3);
  });

  it('outlasts throttling and server errors', async () => {
    proxy.faults.push(
      { kind: 'refuse', name: 'RequestThrottled', status: 403 },
      { kind: 'refuse', name: 'ThrottlingException', status: 400 },
      { kind: 'refuse', name: 'InternalError', status: 500 },
    );
    await queue.send([CHANGE]);
    expect((await queue.depth()).visible).toBe(1);
  });

  it('fails at once when the request itself is refused', async () => {
    proxy.faults.push({ kind: 'refuse', name: 'AccessDeniedException', status: 403 });
    await expect(queue.send([CHANGE])).rejects.toMatchObject({
      code: 'BUC-QUEUE-FAILED',
      detail: 'AccessDeniedException (403), after 1 attempt',
    });
    expect(proxy.actions).toHaveLength(1);
  });

  it('fails when an entry is refused for good, after the others were accepted', async () => {
    proxy.faults.push({ kind: 'accept only', positions: [1], senderFault: true });
    await expect(queue.send(lanes(2))).rejects.toMatchObject({ code: 'BUC-QUEUE-FAILED' });
    expect(await receivedLanes()).toEqual(['s1/t']);
  });

  it('fails within bounds when the queue is gone', async () => {
    await proxy.close();
    await expect(queue.send([CHANGE])).rejects.toMatchObject({
      code: 'BUC-QUEUE-FAILED',
      detail: 'ECONNREFUSED, after 6 attempts',
    });
    proxy = await startSqsProxy(sqs.endpoint);
  });

  it('does not wait for ever for an answer', async () => {
    proxy.faults.push({ kind: 'silence' });
    await queue.send([CHANGE]);
    expect(proxy.actions).toHaveLength(2);
    expect((await queue.depth()).visible).toBe(1);
  });

  it('stops trying when told to', async () => {
    proxy.faults.push({ kind: 'silence' });
    const stopping = new AbortController();
    const sending = queue.send([CHANGE], { signal: stopping.signal });
    await waitFor(() => proxy.actions.length === 1);
    stopping.abort();
    await expect(sending).rejects.toMatchObject({ code: 'BUC-QUEUE-FAILED' });
    await expect(queue.send([CHANGE], { signal: stopping.signal })).rejects.toMatchObject({
      code: 'BUC-QUEUE-FAILED',
    });
    expect((await queue.depth()).visible).toBe(0);
  });
});

it('hiding a message that is not held any more says so instead of failing', async () => {
  expect(await queue.hideMessage('no-such-handle', 10)).toBe(false);
});

describe('the queue on this machine', () => {
  it('listens on the loopback address only', () => {
    expect(new URL(sqs.endpoint).hostname).toBe('127.0.0.1');
    expect(new URL(sqs.kicks.url).hostname).toBe('127.0.0.1');
  });

  it('says which port is taken', async () => {
    await expect(startLocalSqs({ port: sqs.port })).rejects.toMatchObject({
      code: 'BUC-QUEUE-FAILED',
      detail: `port ${sqs.port} of this machine cannot be opened`,
    });
  });
});
