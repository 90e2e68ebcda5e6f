/**
 * Names and settings of the two queues: kicks, and the dead letters that kicks become. Used by the local stand-in and
 * by the deployed stack alike, so that both behave the same. Each number says where it comes from.
 */

/** Lambda's longest; a lane's run ends before it and goes on by a kick. */
export const REPLICATE_TIMEOUT_SECONDS = 900;

/**
 * The function's timeout, the least that Lambda takes. AWS's guidance is six times as long, so that a throttled batch does not come
 * back while it is retried; but a run shortens it by signs of life, and one that dies before its first sign would
 * block its lane for that long.
 */
export const VISIBILITY_TIMEOUT_SECONDS = 1 * REPLICATE_TIMEOUT_SECONDS;

/** How long a run's kick stays hidden without a sign of life: a killed run's kick is back within a minute. */
export const HEARTBEAT_VISIBILITY_SECONDS = 60;

/** A third of the visibility: two renewals may fail before the kick comes back. */
export const HEARTBEAT_INTERVAL_SECONDS = 20;

/**
 * A failing kick is tried for 18 minutes at least (`planRetryDelaySeconds` summed over 23 failures), longer than the
 * longest run that may hold the lane's lock. Then it is a dead letter with an alarm; the sweep goes on kicking the lane.
 */
export const MAX_RECEIVE_COUNT = 24;

/**
 * Two hours: more than the visibility timeout, so a killed run's kick is not gone before it comes back; and few enough
 * that kicks piling up behind a failing lane stay below the 120,000 messages in which SQS looks for other groups
 * (15 a second for two hours). An expired kick is harmless: the sweep finds what is pending.
 */
export const KICK_RETENTION_SECONDS = 7_200;

/** SQS's longest, 14 days: a person has to see dead letters. */
export const DEAD_LETTER_RETENTION_SECONDS = 1_209_600;

/** Of the functions that only look, record and send: a database that does not answer for so long counts as away. */
export const SHORT_TIMEOUT_SECONDS = 60;

/** 6 × the function's timeout, as for the queue of kicks. The function sets each letter's next try itself. */
export const DEAD_LETTER_VISIBILITY_TIMEOUT_SECONDS = 6 * SHORT_TIMEOUT_SECONDS;

/** SQS's longest, so that an idle queue costs least. */
export const RECEIVE_WAIT_SECONDS = 20;

/**
 * One kick per invocation. A batch is finished, and its messages deleted, only when its slowest lane is: kicks of other
 * lanes that shared the invocation would wait for it.
 */
export const KICK_BATCH_SIZE = 1;

export function kickQueueName(fleet: string): string {
  return `${fleet}-kicks.fifo`;
}

export function deadLetterQueueName(fleet: string): string {
  return `${fleet}-kicks-dead.fifo`;
}

/** Attributes of the kick queue as SQS's CreateQueue takes them. */
export function kickQueueAttributes(
  deadLetterQueueArn: string,
  maxReceiveCount = MAX_RECEIVE_COUNT,
): Readonly<Record<string, string>> {
  return {
    FifoQueue: 'true',
    // Every kick has an id of its own: equal bodies within five minutes are different wake-ups.
    ContentBasedDeduplication: 'false',
    VisibilityTimeout: String(VISIBILITY_TIMEOUT_SECONDS),
    MessageRetentionPeriod: String(KICK_RETENTION_SECONDS),
    ReceiveMessageWaitTimeSeconds: String(RECEIVE_WAIT_SECONDS),
    RedrivePolicy: JSON.stringify({
      deadLetterTargetArn: deadLetterQueueArn,
      maxReceiveCount,
    }),
  };
}

/** Attributes of the dead-letter queue as SQS's CreateQueue takes them. */
export function deadLetterQueueAttributes(): Readonly<Record<string, string>> {
  return {
    FifoQueue: 'true',
    ContentBasedDeduplication: 'false',
    VisibilityTimeout: String(DEAD_LETTER_VISIBILITY_TIMEOUT_SECONDS),
    MessageRetentionPeriod: String(DEAD_LETTER_RETENTION_SECONDS),
  };
}
