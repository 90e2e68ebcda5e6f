import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { encodeKick, type Kick, parseKick } from '../../shared/queue/kick.ts';
import { toEntry } from '../../shared/queue/kick-queue.ts';
import {
  kickQueueAttributes,
  kickQueueName,
  KICK_RETENTION_SECONDS,
  MAX_RECEIVE_COUNT,
  REPLICATE_TIMEOUT_SECONDS,
  VISIBILITY_TIMEOUT_SECONDS,
} from '../../shared/queue/names.ts';
import {
  MAX_RETRY_DELAY_SECONDS,
  planBackoffMs,
  planRetryDelaySeconds,
} from '../../shared/queue/retry-delay.ts';
import { planDeadlineMs } from '../../lambdas/replicate/plan-deadline.ts';

function errorOf(body: () => unknown): BucardoError | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof BucardoError) return error;
    throw error;
  }
}

function codeOf(body: () => unknown): string | undefined {
  return errorOf(body)?.code;
}

describe('a kick', () => {
  const name = fc.stringMatching(/^[a-zA-Z]\w{0,40}$/);

  it('comes back from its text as it was', () => {
    fc.assert(
      fc.property(
        name,
        name,
        fc.constantFrom<Kick['reason'][]>('change', 'schedule', 'sweep', 'continue', 'manual', 'copy'),
        (sync, destination, reason) => {
          const kick = { lane: `${sync}/${destination}`, reason };
          expect(parseKick(encodeKick(kick))).toEqual(kick);
        },
      ),
    );
  });

  it('is refused without quoting it when it is anything else', () => {
    const bodies = [
      '',
      'orders/reports',
      '{"lane":"orders/reports","reason":"change"',
      'null',
      '[]',
      '"orders/reports"',
      '{"lane":"orders/reports","reason":"change"}',
      '{"version":2,"lane":"orders/reports","reason":"change"}',
      '{"version":"1","lane":"orders/reports","reason":"change"}',
      '{"version":1,"reason":"change"}',
      '{"version":1,"lane":"orders","reason":"change"}',
      '{"version":1,"lane":"orders/reports/x","reason":"change"}',
      '{"version":1,"lane":"orders/re ports","reason":"change"}',
      '{"version":1,"lane":["orders/reports"],"reason":"change"}',
      '{"version":1,"lane":"orders/reports"}',
      '{"version":1,"lane":"orders/reports","reason":"toString"}',
      '{"secret":"hunter2"',
    ];
    for (const body of bodies)
      expect(
        codeOf(() => parseKick(body)),
        body,
      ).toBe('BUC-KICK-MALFORMED');
    const error = errorOf(() => parseKick('{"secret":"hunter2"'));
    expect(
      `${error?.stack} ${error?.toText()} ${JSON.stringify(error)} ${String(error?.cause)}`,
    ).not.toContain('hunter2');
  });

  it('never throws anything but its own error, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (body) => {
        expect([undefined, 'BUC-KICK-MALFORMED']).toContain(codeOf(() => parseKick(body)));
      }),
    );
  });

  it('cannot be sent for a lane whose id is no message group', () => {
    expect(codeOf(() => encodeKick({ lane: 'orders', reason: 'change' }))).toBe('BUC-KICK-MALFORMED');
    expect(codeOf(() => encodeKick({ lane: 'ördersé/x', reason: 'change' }))).toBe('BUC-KICK-MALFORMED');
    const long = `${'a'.repeat(64)}/${'b'.repeat(64)}`;
    expect(codeOf(() => encodeKick({ lane: long, reason: 'change' }))).toBe('BUC-KICK-MALFORMED');
  });

  it('has a deduplication id that no other kick has, among 100,000 equal ones', () => {
    const entries = Array.from({ length: 100_000 }, (_, index) =>
      toEntry({ lane: 'orders/reports', reason: 'change' }, index),
    );
    expect(new Set(entries.map((entry) => entry.MessageDeduplicationId)).size).toBe(100_000);
    for (let first = 0; first < entries.length; first += 10) {
      expect(new Set(entries.slice(first, first + 10).map(({ Id }) => Id)).size).toBe(10);
    }
  });
});

describe('the queues', () => {
  it('have names and attributes that SQS takes, for any fleet name', () => {
    expect(kickQueueName('bucardo')).toBe('bucardo-kicks.fifo');
    const attributes = kickQueueAttributes('arn:dead');
    expect(JSON.parse(attributes['RedrivePolicy'] ?? '')).toEqual({
      deadLetterTargetArn: 'arn:dead',
      maxReceiveCount: MAX_RECEIVE_COUNT,
    });
    // SQS's own limits.
    expect(Number(attributes['VisibilityTimeout'])).toBeLessThanOrEqual(43_200);
    expect(Number(attributes['MessageRetentionPeriod'])).toBeGreaterThanOrEqual(60);
    expect(KICK_RETENTION_SECONDS).toBeGreaterThan(VISIBILITY_TIMEOUT_SECONDS);
  });

  it('keep trying a failing kick for longer than any run may hold the lane', () => {
    for (const retry of ['now', 'later', 'never'] as const) {
      let totalSeconds = 0;
      for (let count = 1; count < MAX_RECEIVE_COUNT; count += 1) {
        totalSeconds += planRetryDelaySeconds(count, retry);
      }
      expect(totalSeconds).toBeGreaterThan(REPLICATE_TIMEOUT_SECONDS);
      expect(totalSeconds).toBeLessThan(KICK_RETENTION_SECONDS);
    }
  });
});

describe('the delay of a failed kick', () => {
  it('doubles and is never longer than its limit', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 1000].map((count) => planRetryDelaySeconds(count, 'later'))).toEqual([
      2, 4, 8, 16, 32, 60, 60, 60,
    ]);
    expect(planRetryDelaySeconds(1, 'now')).toBe(1);
  });

  it('is a whole number that SQS takes, whatever the count says', () => {
    for (const count of [Number.NaN, -1, 0, 1.5, Number.POSITIVE_INFINITY, 2 ** 53]) {
      const seconds = planRetryDelaySeconds(count, 'later');
      expect(Number.isSafeInteger(seconds)).toBe(true);
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThanOrEqual(MAX_RETRY_DELAY_SECONDS);
    }
  });
});

it('backs off from the queue with full jitter within growing bounds', () => {
  expect(planBackoffMs(1, 0)).toBe(0);
  expect(planBackoffMs(1, 1)).toBe(100);
  expect(planBackoffMs(3, 1)).toBe(400);
  expect(planBackoffMs(10_000, 1)).toBe(5_000);
});

it('leaves a run less time than its function has, so that it can report', () => {
  expect(planDeadlineMs(1_000_000, 900_000)).toBe(1_890_000);
  expect(planDeadlineMs(1_000_000, 5_000)).toBe(1_004_000);
  expect(planDeadlineMs(1_000_000, 0)).toBe(1_000_000);
});
