import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextRate, planBatchDeltas, planOversized } from '../../shared/replicate/batch-size.ts';

const FRESH = { rate: undefined, unfinished: undefined };
const MINUTE = { whole: 50, left: 50 };

describe('a batch', () => {
  test('is moderate before anything was measured', () => {
    expect(planBatchDeltas(100_000, FRESH, MINUTE)).toBe(20_000);
    expect(planBatchDeltas(7, FRESH, MINUTE)).toBe(7);
  });

  test('takes a tenth of the function’s time at the rate that was measured, and never more than batchRows', () => {
    expect(planBatchDeltas(100_000, { ...FRESH, rate: 2_000 }, MINUTE)).toBe(10_000);
    expect(planBatchDeltas(100_000, { ...FRESH, rate: 50_000 }, MINUTE)).toBe(100_000);
  });

  test('is smaller when less time is left', () => {
    expect(planBatchDeltas(100_000, { ...FRESH, rate: 2_000 }, { whole: 50, left: 1 })).toBe(2_000);
    expect(planBatchDeltas(100_000, { ...FRESH, rate: 2_000 }, { whole: 50, left: -3 })).toBe(100);
  });

  test('is a quarter of one that did not end, until one delta is tried alone', () => {
    let unfinished = 100_000;
    const tried: number[] = [];
    while (unfinished > 1) {
      unfinished = planBatchDeltas(100_000, { rate: 1e6, unfinished }, MINUTE);
      tried.push(unfinished);
    }
    expect(tried).toEqual([25_000, 6_250, 1_562, 390, 97, 24, 6, 1]);
  });

  test('always has something, and never more than is allowed', () => {
    const positive = fc.double({ min: 1e-3, max: 1e9, noNaN: true });
    const count = fc.integer({ min: 1, max: 10_000_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.option(positive, { nil: undefined }),
        fc.option(count, { nil: undefined }),
        positive,
        positive,
        (batchRows, rate, unfinished, whole, left) => {
          const deltas = planBatchDeltas(batchRows, { rate, unfinished }, { whole, left });
          expect(deltas).toBeGreaterThanOrEqual(1);
          expect(deltas).toBeLessThanOrEqual(batchRows);
          expect(Number.isInteger(deltas)).toBe(true);
          if (unfinished !== undefined) expect(deltas).toBeLessThanOrEqual(Math.max(1, unfinished / 4));
        },
      ),
    );
  });
});

describe('a transaction that is larger than a batch', () => {
  test('arrives whole if that takes at most a third of the function’s time', () => {
    expect(planOversized(1_000_000, 100_000, { ...FRESH, rate: 100_000 }, MINUTE)).toBe('whole');
    expect(planOversized(5_000_000, 100_000, { ...FRESH, rate: 100_000 }, MINUTE)).toBe('in parts');
    expect(planOversized(1_000_000, 100_000, FRESH, { whole: 890, left: 890 })).toBe('whole');
    expect(planOversized(5_000_000, 100_000, FRESH, MINUTE)).toBe('in parts');
  });

  test('arrives in parts once it was begun and not ended', () => {
    const history = { rate: 100_000, unfinished: 150_000 };
    expect(planOversized(150_000, 100_000, history, MINUTE)).toBe('in parts');
    expect(planOversized(30_000, 100_000, history, MINUTE)).toBe('whole');
  });

  test('waits for a run with more time if too little is left', () => {
    const history = { ...FRESH, rate: 100_000 };
    expect(planOversized(1_000_000, 100_000, history, { whole: 50, left: 5 })).toBe('whole, later');
    expect(planOversized(1_000_000, 100_000, history, { whole: 50, left: 20 })).toBe('whole');
  });

  test('is never put off by a run that has just begun', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e8 }),
        fc.double({ min: 1, max: 1e6, noNaN: true }),
        (deltas, rate) => {
          const time = { whole: 50, left: 49 };
          expect(planOversized(deltas, 1000, { rate, unfinished: undefined }, time)).not.toBe('whole, later');
          expect(planOversized(deltas, 1000, FRESH, time)).not.toBe('whole, later');
        },
      ),
    );
  });
});

describe('the rate', () => {
  test('is not learnt from a few changes that went quickly', () => {
    expect(nextRate(undefined, 5, 0.01)).toBeUndefined();
    expect(nextRate(700, 5, 0.01)).toBe(700);
  });

  test('falls at once and rises by half', () => {
    expect(nextRate(undefined, 10_000, 1)).toBe(10_000);
    expect(nextRate(10_000, 50, 5)).toBe(10);
    expect(nextRate(10, 1_010, 1)).toBe(510);
  });
});
