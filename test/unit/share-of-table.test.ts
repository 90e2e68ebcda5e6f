import { describe, expect, it } from 'vitest';
import { isFewOf } from '../../shared/replicate/share-of-table.ts';

describe('rows of a table are few', () => {
  it('below a twentieth of what the statistics say', () => {
    const table = { estimatedRows: 1_000_000, sizeBytes: 0 };
    expect(isFewOf(49_999, table)).toBe(true);
    expect(isFewOf(50_000, table)).toBe(false);
  });

  it('by its size on disk where the statistics are missing or late', () => {
    expect(isFewOf(100_000, { estimatedRows: 0, sizeBytes: 1_000_000_000 })).toBe(true);
    expect(isFewOf(100_000, { estimatedRows: 0, sizeBytes: 8_192 })).toBe(false);
  });
});
