/**
 * Lambda's SQS event source mapping on this machine: receives batches, invokes the handler, deletes what it finished.
 * A throw, a time-out or an answer that cannot be trusted leaves the whole batch to its visibility timeout, as AWS does.
 * A receive makes one batch, whatever groups it holds, so messages of one group are never handled side by side: SQS
 * hides a group while any of its messages is in flight.
 *
 * One receive waits at a time and hands its batch to a free slot; AWS lets several wait. Handlers run side by side all
 * the same, and an arriving kick costs one request instead of waking every waiter.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import type { Context, SQSEvent } from 'aws-lambda';
import { KICK_BATCH_SIZE, REPLICATE_TIMEOUT_SECONDS } from '../queue/names.ts';
import { planBackoffMs } from '../queue/retry-delay.ts';
import { createSqsClient, type SqsAddress } from '../queue/sqs-client.ts';
import { describeSqsError } from '../queue/sqs-errors.ts';
import { errorFields, type Log } from '../telemetry/log.ts';
import { createLambdaContext } from './lambda-context.ts';
import { planUnfinished, toSqsEvent } from './sqs-event.ts';

/** What Lambda calls: resolves to the answer, or rejects. */
type SqsFunction = (event: SQSEvent, context: Context) => Promise<unknown>;

export interface EventSourceMappingOptions extends SqsAddress {
  readonly region: string;
  readonly queue: { readonly url: string; readonly arn: string };
  readonly handler: SqsFunction;
  readonly functionName: string;
  readonly log: Log;
  readonly timeoutSeconds?: number;
  /** Messages of one invocation at most, up to 10. Default 1: see KICK_BATCH_SIZE. */
  readonly batchSize?: number;
  /** Invocations at the same time at most. Default 10. */
  readonly maximumConcurrency?: number;
  /** How long one receive waits, and so how long stopping may have to wait for it. Default 1. */
  readonly waitSeconds?: number;
}

export interface EventSourceMapping {
  /** Invocations under way. */
  readonly active: number;
  /**
   * Ends polling and waits for the handlers; messages that are not finished after `graceMs` go back to the queue at
   * once. Resolves when no request of the mapping is under way. May be called more than once.
   */
  stop(graceMs?: number): Promise<void>;
}

const DEFAULT_GRACE_MS = 10_000;

/** Deletions are worth some patience: a finished message that stays is handled twice. */
const SETTLE_ATTEMPTS = 5;

export function startEventSourceMapping(options: EventSourceMappingOptions): EventSourceMapping {
  const {
    queue,
    region,
    endpoint,
    handler,
    functionName,
    log,
    timeoutSeconds = REPLICATE_TIMEOUT_SECONDS,
    batchSize = KICK_BATCH_SIZE,
    maximumConcurrency = 10,
    waitSeconds = 1,
  } = options;
  const client = createSqsClient({
    queueUrl: queue.url,
    region,
    endpoint,
    requestTimeoutMs: (waitSeconds + 5) * 1000,
    maxAttempts: 1,
  });
  const stopping = new AbortController();
  /** Each invocation, from the hand-over of its batch until its messages are settled. */
  const active = new Map<Promise<void>, Invocation>();
  /** Ends the wait for a free slot. */
  let wake = (): void => {};

  async function poll(): Promise<void> {
    for (let failures = 0; !stopping.signal.aborted;) {
      if (active.size >= maximumConcurrency) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      let messages: readonly Message[];
      try {
        messages = await receive();
        failures = 0;
      } catch (error) {
        failures += 1;
        log('warn', 'queue.receive.failed', {
          function: functionName,
          reason: describeSqsError(error),
          failures,
        });
        await pause(planBackoffMs(failures, Math.random()), stopping.signal);
        continue;
      }
      if (messages.length === 0) continue;
      if (stopping.signal.aborted) await giveBack(messages);
      else start(messages);
    }
  }

  /** Never cut off by stopping: SQS may have hidden a message for a request whose answer nobody reads. */
  async function receive(): Promise<readonly Message[]> {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({
        QueueUrl: queue.url,
        MaxNumberOfMessages: batchSize,
        WaitTimeSeconds: waitSeconds,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      }),
    );
    return Messages;
  }

  function start(messages: readonly Message[]): void {
    const invocation: Invocation = { messages, givenUp: false };
    const done = invoke(invocation).finally(() => {
      active.delete(done);
      wake();
    });
    active.set(done, invocation);
  }

  async function invoke(invocation: Invocation): Promise<void> {
    const { messages } = invocation;
    const context = createLambdaContext({ functionName, timeoutSeconds });
    let answer: unknown;
    try {
      answer = await withTimeout(
        // In an async function, so that a handler that throws at once rejects like any other.
        (async () => handler(toSqsEvent(messages, { queueArn: queue.arn, region }), context))(),
        timeoutSeconds,
      );
    } catch (error) {
      log('error', 'function.failed', {
        function: functionName,
        requestId: context.awsRequestId,
        ...(error instanceof TimedOut ? { message: error.message } : errorFields(error)),
      });
      return;
    }
    if (invocation.givenUp) return;
    const unfinished = planUnfinished(
      messages.map(({ MessageId }) => MessageId ?? ''),
      answer,
    );
    if (unfinished === 'all') {
      log('error', 'function.answer.malformed', { function: functionName, requestId: context.awsRequestId });
      return;
    }
    await deleteAll(messages.filter(({ MessageId }) => !unfinished.has(MessageId ?? '')));
  }

  async function deleteAll(messages: readonly Message[]): Promise<void> {
    await settle('queue.delete.failed', messages, async (entries) => {
      const { Failed = [] } = await client.send(
        new DeleteMessageBatchCommand({ QueueUrl: queue.url, Entries: [...entries] }),
      );
      return Failed.filter(({ SenderFault }) => SenderFault !== true).map(({ Id }) => Id);
    });
  }

  /** Last first, so that a group's messages are in order again whatever the queue does with them. */
  async function giveBack(messages: readonly Message[]): Promise<void> {
    await settle('queue.return.failed', messages.toReversed(), async (entries) => {
      const { Failed = [] } = await client.send(
        new ChangeMessageVisibilityBatchCommand({
          QueueUrl: queue.url,
          Entries: entries.map((entry) => ({ ...entry, VisibilityTimeout: 0 })),
        }),
      );
      return Failed.filter(({ SenderFault }) => SenderFault !== true).map(({ Id }) => Id);
    });
  }

  /** Repeats `send` for the entries that it reports as failed. Giving up is harmless: the messages come again. */
  async function settle(
    failureEvent: string,
    messages: readonly Message[],
    send: (entries: readonly Entry[]) => Promise<readonly (string | undefined)[]>,
  ): Promise<void> {
    let left = messages.map(({ ReceiptHandle = '' }, index) => ({ Id: String(index), ReceiptHandle }));
    for (let failures = 1; left.length > 0; failures += 1) {
      let reason = 'refused';
      try {
        const failed = await send(left);
        left = left.filter(({ Id }) => failed.includes(Id));
        if (left.length === 0) return;
      } catch (error) {
        reason = describeSqsError(error);
      }
      if (failures === SETTLE_ATTEMPTS) {
        log('warn', failureEvent, { function: functionName, messages: left.length, reason });
        return;
      }
      await sleep(planBackoffMs(failures, Math.random()));
    }
  }

  async function stop(graceMs: number): Promise<void> {
    stopping.abort();
    wake();
    await polling;
    await Promise.race([Promise.all(active.keys()), sleep(graceMs, undefined, { ref: false })]);
    const left = [...active.values()];
    for (const invocation of left) invocation.givenUp = true;
    await Promise.all(left.map(({ messages }) => giveBack(messages)));
    client.destroy();
  }

  const polling = poll();
  let stopped: Promise<void> | undefined;
  return {
    get active() {
      return active.size;
    },
    stop: (graceMs = DEFAULT_GRACE_MS) => (stopped ??= stop(graceMs)),
  };
}

interface Entry {
  readonly Id: string;
  readonly ReceiptHandle: string;
}

interface Invocation {
  readonly messages: readonly Message[];
  /** Its messages went back to the queue: whatever it still answers is not to be acted on. */
  givenUp: boolean;
}

class TimedOut extends Error {}

/** Lambda would end the process; here the handler runs on, but nobody waits for it or acts on its answer. */
async function withTimeout<Result>(running: Promise<Result>, seconds: number): Promise<Result> {
  const timer = new AbortController();
  try {
    return await Promise.race([
      running,
      sleep(seconds * 1000, undefined, { signal: timer.signal }).then(() => {
        throw new TimedOut(`the function did not end within ${seconds} seconds`);
      }),
    ]);
  } finally {
    timer.abort();
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
