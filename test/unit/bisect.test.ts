import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findFailures, type Selection, TooManyFailures } from '../../shared/replicate/bisect.ts';

function numbersOf(selection: Selection): readonly number[] {
  if ('numbers' in selection) return selection.numbers;
  return Array.from({ length: selection.to - selection.from + 1 }, (_, index) => selection.from + index);
}

test('exactly the things that fail are found, in order, and everything else goes through once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 9_000 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 9_000 }), { maxLength: 20 }),
      fc.boolean(),
      async (count, bad, asList) => {
        const through: number[] = [];
        const attempt = async (part: Selection): Promise<string | undefined> => {
          const numbers = numbersOf(part);
          if (numbers.some((n) => bad.includes(n))) return 'bad';
          through.push(...numbers);
          return undefined;
        };
        const all: Selection = { from: 1, to: count };
        const found = await findFailures(asList ? { numbers: numbersOf(all) } : all, attempt, 100);
        const expected = bad.filter((n) => n <= count).sort((a, b) => a - b);
        expect(found.map(({ n }) => n)).toEqual(expected);
        expect(through.sort((a, b) => a - b)).toEqual(numbersOf(all).filter((n) => !expected.includes(n)));
      },
    ),
    { numRuns: 50 },
  );
});

test('what had to wait for something else goes through at the next size', async () => {
  const there = new Set<number>();
  // Each waits for its right neighbour but the last; 700 never goes through.
  const attempt = async (part: Selection): Promise<string | undefined> => {
    const numbers = numbersOf(part);
    const waits = numbers.some(
      (n) => n === 700 || (n % 2 === 1 && !there.has(n + 1) && !numbers.includes(n + 1)),
    );
    if (!waits) for (const n of numbers) there.add(n);
    return waits ? 'waits' : undefined;
  };
  const found = await findFailures({ from: 1, to: 1_000 }, attempt, 10);
  expect(found.map(({ n }) => n)).toEqual([699, 700]);
});

test('a cause that is not in the things ends the search early', async () => {
  let attempts = 0;
  const search = findFailures(
    { from: 1, to: 3_000_000 },
    async () => {
      attempts += 1;
      return 'always';
    },
    1_000,
  );
  await expect(search).rejects.toBeInstanceOf(TooManyFailures);
  expect(attempts).toBeLessThan(10_000);
});
