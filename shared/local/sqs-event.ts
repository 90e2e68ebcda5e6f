/**
 * The shapes between SQS and a function, as Lambda's event source mapping makes and reads them: received messages
 * become an event, and the function's answer says which messages are done. Pure.
 */
import type { Message, MessageAttributeValue } from '@aws-sdk/client-sqs';
import type { SQSEvent, SQSMessageAttribute, SQSRecord } from 'aws-lambda';

export interface EventSource {
  readonly queueArn: string;
  readonly region: string;
}

/** The event for one batch, in the order received. */
export function toSqsEvent(messages: readonly Message[], { queueArn, region }: EventSource): SQSEvent {
  return {
    Records: messages.map((message) => ({
      messageId: message.MessageId ?? '',
      receiptHandle: message.ReceiptHandle ?? '',
      body: message.Body ?? '',
      attributes: toSystemAttributes(message),
      messageAttributes: Object.fromEntries(
        Object.entries(message.MessageAttributes ?? {}).map(([name, value]) => [name, toAttribute(value)]),
      ),
      md5OfBody: message.MD5OfBody ?? '',
      ...(message.MD5OfMessageAttributes === undefined
        ? {}
        : { md5OfMessageAttributes: message.MD5OfMessageAttributes }),
      eventSource: 'aws:sqs',
      eventSourceARN: queueArn,
      awsRegion: region,
    })),
  };
}

function toSystemAttributes({ Attributes: given = {} }: Message): SQSRecord['attributes'] {
  return {
    ...given,
    ApproximateReceiveCount: given.ApproximateReceiveCount ?? '1',
    SentTimestamp: given.SentTimestamp ?? '0',
    SenderId: given.SenderId ?? '',
    ApproximateFirstReceiveTimestamp: given.ApproximateFirstReceiveTimestamp ?? '0',
  };
}

function toAttribute(value: MessageAttributeValue): SQSMessageAttribute {
  return {
    ...(value.StringValue === undefined ? {} : { stringValue: value.StringValue }),
    ...(value.BinaryValue === undefined
      ? {}
      : { binaryValue: Buffer.from(value.BinaryValue).toString('base64') }),
    stringListValues: [],
    binaryListValues: [],
    dataType: value.DataType ?? 'String',
  };
}

/** Ids of the messages that the function did not finish, or `all` if its answer cannot be trusted. */
export type Unfinished = ReadonlySet<string> | 'all';

/**
 * Lambda's rules for ReportBatchItemFailures: no answer, or none with failures, means all done; an entry that is
 * malformed or names a message that was not in the batch makes the whole batch fail.
 * @param answer what the handler returned; anything
 */
export function planUnfinished(messageIds: readonly string[], answer: unknown): Unfinished {
  if (answer === undefined || answer === null) return new Set();
  if (typeof answer !== 'object') return 'all';
  const failures: unknown = 'batchItemFailures' in answer ? answer.batchItemFailures : undefined;
  if (failures === undefined || failures === null) return new Set();
  if (!Array.isArray(failures)) return 'all';
  const unfinished = new Set<string>();
  for (const failure of failures as readonly unknown[]) {
    const id =
      typeof failure === 'object' && failure !== null && 'itemIdentifier' in failure
        ? failure.itemIdentifier
        : undefined;
    if (typeof id !== 'string' || !messageIds.includes(id)) return 'all';
    unfinished.add(id);
  }
  return unfinished;
}
