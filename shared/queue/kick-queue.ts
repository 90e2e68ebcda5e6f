/**
 * The queue of kicks. `send` resolves only when SQS has accepted every kick; what it cannot get accepted within bounds
 * it reports, so that the caller keeps and repeats it. Every kick has a deduplication id of its own, kept over its
 * retries: SQS drops the doubles of a retry, and never a later kick (ids are remembered for five minutes).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ChangeMessageVisibilityCommand,
  GetQueueAttributesCommand,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { BucardoError } from '../errors/bucardo-error.ts';
import { encodeKick, type Kick } from './kick.ts';
import { planBackoffMs } from './retry-delay.ts';
import { createSqsClient, type SqsAddress } from './sqs-client.ts';
import { describeSqsError, isNoLongerHeld, isWorthRetrying } from './sqs-errors.ts';

export interface KickQueueOptions extends SqsAddress {
  readonly queueUrl: string;
}

interface QueueDepth {
  /** Waiting to be received. */
  readonly visible: number;
  /** Received and neither deleted nor returned: being handled, or waiting for their retry. */
  readonly inFlight: number;
  readonly delayed: number;
}

interface AttemptOptions {
  /** Ends the attempts; the call then rejects. */
  readonly signal?: AbortSignal | undefined;
}

export interface KickQueue {
  /**
   * Resolves when all kicks were accepted, to their message ids in the same order.
   * @throws BUC-QUEUE-FAILED, BUC-KICK-MALFORMED
   */
  readonly send: (kicks: readonly Kick[], options?: AttemptOptions) => Promise<readonly string[]>;
  /** Approximate, as SQS counts. @throws BUC-QUEUE-FAILED */
  readonly depth: () => Promise<QueueDepth>;
  /**
   * Hides a received message for so many seconds from now; 0 gives it back. False if it is not hidden any more: it was
   * deleted, or somebody else may receive it. @throws BUC-QUEUE-FAILED
   */
  readonly hideMessage: (
    receiptHandle: string,
    seconds: number,
    options?: AttemptOptions,
  ) => Promise<boolean>;
  readonly close: () => void;
}

/** What only sends, and does not ask for the messages' ids. */
export interface KickSender {
  readonly send: (kicks: readonly Kick[]) => Promise<unknown>;
}

/** SQS: entries of one SendMessageBatch. */
const BATCH_ENTRIES = 10;

/** About ten seconds of back-off at most; longer waiting is the caller's, who knows what else there is to do. */
const ATTEMPTS = 6;

/** A send takes milliseconds; a connection that says nothing for so long is dead. */
const REQUEST_TIMEOUT_MS = 5_000;

export function createKickQueue({ queueUrl, region, endpoint }: KickQueueOptions): KickQueue {
  const client = createSqsClient({
    queueUrl,
    region,
    endpoint,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    maxAttempts: 1,
  });
  return {
    async send(kicks, { signal } = {}) {
      const entries = kicks.map(toEntry);
      const messageIds: string[] = [];
      for (let first = 0; first < entries.length; first += BATCH_ENTRIES) {
        const batch = entries.slice(first, first + BATCH_ENTRIES);
        messageIds.push(...(await sendBatch(client, queueUrl, batch, signal)));
      }
      return messageIds;
    },

    async depth() {
      const { Attributes: counts } = await withRetries(undefined, () =>
        client.send(
          new GetQueueAttributesCommand({
            QueueUrl: queueUrl,
            AttributeNames: [
              'ApproximateNumberOfMessages',
              'ApproximateNumberOfMessagesNotVisible',
              'ApproximateNumberOfMessagesDelayed',
            ],
          }),
        ),
      );
      return {
        visible: Number(counts?.ApproximateNumberOfMessages ?? 0),
        inFlight: Number(counts?.ApproximateNumberOfMessagesNotVisible ?? 0),
        delayed: Number(counts?.ApproximateNumberOfMessagesDelayed ?? 0),
      };
    },

    async hideMessage(receiptHandle, seconds, { signal } = {}) {
      return await withRetries(signal, async () => {
        try {
          await client.send(
            new ChangeMessageVisibilityCommand({
              QueueUrl: queueUrl,
              ReceiptHandle: receiptHandle,
              VisibilityTimeout: seconds,
            }),
          );
          return true;
        } catch (error) {
          if (isNoLongerHeld(error)) return false;
          throw error;
        }
      });
    },

    close() {
      client.destroy();
    },
  };
}

/** Ids only have to differ within a batch; deduplication ids must never repeat. */
export function toEntry(kick: Kick, index: number): SendMessageBatchRequestEntry {
  return {
    Id: String(index % BATCH_ENTRIES),
    MessageBody: encodeKick(kick),
    MessageGroupId: kick.lane,
    MessageDeduplicationId: randomUUID(),
  };
}

/** Sends until every entry was accepted; only those refused for a passing reason are sent again. */
async function sendBatch(
  client: SQSClient,
  queueUrl: string,
  entries: readonly SendMessageBatchRequestEntry[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  let left = [...entries];
  const messageIds = new Map<string | undefined, string>();
  await withRetries(signal, async () => {
    const { Successful: accepted = [], Failed: refused = [] } = await client.send(
      new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: left }),
      signal === undefined ? {} : { abortSignal: signal },
    );
    for (const { Id, MessageId = '' } of accepted) messageIds.set(Id, MessageId);
    left = left.filter(({ Id }) => !messageIds.has(Id));
    if (left.length === 0) return;
    const fault = refused.find(({ SenderFault }) => SenderFault === true);
    throw new RefusedEntries(left.length, (fault ?? refused[0])?.Code, fault !== undefined);
  });
  return entries.map(({ Id }) => messageIds.get(Id) ?? '');
}

/** Some entries of a batch were not taken. Internal: people see BUC-QUEUE-FAILED. */
class RefusedEntries extends Error {
  readonly permanent: boolean;

  constructor(count: number, code: string | undefined, permanent: boolean) {
    super(`${count} of the kicks refused: ${code ?? 'no reason given'}`);
    this.permanent = permanent;
  }
}

/** Repeats `attempt` while there is hope, with growing pauses. @throws BUC-QUEUE-FAILED */
async function withRetries<Result>(
  signal: AbortSignal | undefined,
  attempt: () => Promise<Result>,
): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    throwIfStopped(signal);
    try {
      return await attempt();
    } catch (error) {
      throwIfStopped(signal);
      const refused = error instanceof RefusedEntries;
      const hope = refused ? !error.permanent : isWorthRetrying(error);
      if (!hope || failures === ATTEMPTS) {
        throw new BucardoError('BUC-QUEUE-FAILED', {
          detail: `${refused ? error.message : describeSqsError(error)}, after ${failures} attempt${failures === 1 ? '' : 's'}`,
          cause: error,
        });
      }
      await sleep(
        planBackoffMs(failures, Math.random()),
        undefined,
        signal === undefined ? {} : { signal },
      ).catch(() => {});
    }
  }
}

/** @throws BUC-QUEUE-FAILED */
function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new BucardoError('BUC-QUEUE-FAILED', {
    detail: 'stopped before the queue had accepted everything',
    cause: signal.reason,
  });
}
