import type { SQSRecord } from 'aws-lambda';
import { describe, expect, it } from 'vitest';
import { planBatch } from '../../lambdas/replicate/plan-batch.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { planUnfinished, toSqsEvent } from '../../shared/local/sqs-event.ts';
import { encodeKick } from '../../shared/queue/kick.ts';

const fleet = {
  name: 'bucardo',
  databases: new Map(),
  syncs: new Map([['orders', { name: 'orders', source: 'east', targets: ['reports', 'archive'] }]]),
} as unknown as Fleet;

function record(
  messageId: string,
  group: string,
  body = encodeKick({ lane: group, reason: 'change' }),
): SQSRecord {
  return {
    messageId,
    receiptHandle: `handle of ${messageId}`,
    body,
    attributes: {
      ApproximateReceiveCount: '1',
      SentTimestamp: '0',
      SenderId: '',
      ApproximateFirstReceiveTimestamp: '0',
      MessageGroupId: group,
    },
    messageAttributes: {},
    md5OfBody: '',
    eventSource: 'aws:sqs',
    eventSourceARN: '',
    awsRegion: '',
  };
}

function ids(records: readonly SQSRecord[]): string[] {
  return records.map(({ messageId }) => messageId);
}

describe('a batch of kicks', () => {
  it('is one run for each lane, however many messages the lane has', () => {
    const plan = planBatch(fleet, [
      record('1', 'orders/reports'),
      record('2', 'orders/archive'),
      record('3', 'orders/reports'),
    ]);
    expect(plan.runs.map(({ lane, records }) => [lane.id, ids(records)])).toEqual([
      ['orders/reports', ['1', '3']],
      ['orders/archive', ['2']],
    ]);
    expect(plan.refused).toEqual([]);
  });

  it('refuses a malformed message and the later ones of its group, and nothing else', () => {
    const plan = planBatch(fleet, [
      record('1', 'orders/reports'),
      record('2', 'orders/reports', 'garbage'),
      record('3', 'orders/archive'),
      record('4', 'orders/reports'),
    ]);
    expect(plan.runs.map(({ lane, records }) => [lane.id, ids(records)])).toEqual([
      ['orders/reports', ['1']],
      ['orders/archive', ['3']],
    ]);
    expect(plan.refused.map(({ error, records }) => [error.code, ids(records)])).toEqual([
      ['BUC-KICK-MALFORMED', ['2', '4']],
    ]);
  });

  it('refuses lanes that the configuration does not have, and kicks under another lane’s group', () => {
    const plan = planBatch(fleet, [
      record('1', 'orders/nowhere'),
      record('2', 'orders/reports', encodeKick({ lane: 'orders/archive', reason: 'change' })),
    ]);
    expect(plan.runs).toEqual([]);
    expect(plan.refused.map(({ error, records }) => [error.code, ids(records)])).toEqual([
      ['BUC-LANE-UNKNOWN', ['1']],
      ['BUC-KICK-MALFORMED', ['2']],
    ]);
  });
});

describe('the answer to a batch', () => {
  it('leaves unfinished exactly the messages that it names', () => {
    const answer = { batchItemFailures: [{ itemIdentifier: 'b' }] };
    expect(planUnfinished(['a', 'b', 'c'], answer)).toEqual(new Set(['b']));
  });

  it('means all done when it names none', () => {
    for (const answer of [undefined, null, {}, { batchItemFailures: [] }, { batchItemFailures: null }]) {
      expect(planUnfinished(['a'], answer)).toEqual(new Set());
    }
  });

  it('fails the whole batch when it cannot be trusted', () => {
    const answers: unknown[] = [
      { batchItemFailures: [{ itemIdentifier: 'a' }, { itemIdentifier: 'stranger' }] },
      { batchItemFailures: [{ itemIdentifier: '' }] },
      { batchItemFailures: [{ itemIdentifier: null }] },
      { batchItemFailures: [{ id: 'a' }] },
      { batchItemFailures: [null] },
      { batchItemFailures: ['a'] },
      { batchItemFailures: { itemIdentifier: 'a' } },
      'done',
      7,
    ];
    for (const answer of answers) expect(planUnfinished(['a', 'b'], answer)).toBe('all');
  });
});

it('an event’s message attributes have Lambda’s names and encodings', () => {
  const { Records } = toSqsEvent(
    [
      {
        MessageId: 'm',
        ReceiptHandle: 'h',
        Body: 'b',
        MD5OfBody: 'd',
        MessageAttributes: {
          text: { DataType: 'String', StringValue: 'x' },
          bytes: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
        },
      },
    ],
    { queueArn: 'arn:aws:sqs:eu-west-1:1:q', region: 'eu-west-1' },
  );
  expect(Records[0]?.messageAttributes).toEqual({
    text: { stringValue: 'x', stringListValues: [], binaryListValues: [], dataType: 'String' },
    bytes: { binaryValue: 'AP8=', stringListValues: [], binaryListValues: [], dataType: 'Binary' },
  });
});
