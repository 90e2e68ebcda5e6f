/** Whether looking rows up one by one beats reading their table whole. Pure. */
import type { Table } from '../postgres/catalog.ts';

/** A lookup touches pages here and there, a scan each once: below this share of the rows the lookups win. */
const WORTH_A_SCAN = 1 / 20;

/** Stands in for missing statistics: generous, so that a table of unknown width counts as small. */
const BYTES_PER_ROW = 200;

export function isFewOf(
  rows: number,
  { estimatedRows, sizeBytes }: Pick<Table, 'estimatedRows' | 'sizeBytes'>,
): boolean {
  return rows < Math.max(estimatedRows, sizeBytes / BYTES_PER_ROW) * WORTH_A_SCAN;
}
