import fc from 'fast-check';
import { expect, test } from 'vitest';
import { coverage } from '../../shared/capture/purge.ts';
import { lockTimeoutMs, pauseMs } from '../../shared/capture/run-steps.ts';

test('apply stays away longer after each failed attempt, but never for more than two seconds', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, random) => {
        const pause = pauseMs(attempt, random);
        expect(pause).toBeGreaterThanOrEqual(100);
        expect(pause).toBeLessThanOrEqual(2_000);
        expect(pause).toBeLessThanOrEqual(pauseMs(attempt + 1, random));
      },
    ),
  );
});

test('an attempt in eight outwaits the second after which autovacuum gives way', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(lockTimeoutMs)).toEqual([
    300, 300, 300, 300, 300, 300, 300, 1_500, 300,
  ]);
});

test('what one lane lacks is not covered; a lane whose mark is unknown lacks everything', () => {
  const now = '50:50:';
  expect(coverage([], now)).toEqual({ xmax: 50n, running: [] });
  expect(coverage(['20:40:20,30', '10:35:10'], now)).toEqual({ xmax: 35n, running: [10n, 20n, 30n] });
  expect(coverage(['20:40:20,30', null], now)).toBeUndefined();
});
