import { expect, test } from 'vitest';
import { isFewOf } from '../../shared/replicate/share-of-table.ts';

test('rows of a table are few below an eighth of it', () => {
  expect(isFewOf(124_999, { estimatedRows: 1_000_000 })).toBe(true);
  expect(isFewOf(125_000, { estimatedRows: 1_000_000 })).toBe(false);
  expect(isFewOf(1, { estimatedRows: 0 })).toBe(false);
});
