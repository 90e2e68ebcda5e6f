/** Whether looking rows up one by one beats reading their table whole. Pure. */
import type { Table } from '../postgres/catalog.ts';

/**
 * A lookup touches pages here and there, a scan each once. Measured in memory: 100,000 lookups take as long as reading
 * half a million rows, and a third of reading two million. A little more is granted to pages that have to be fetched.
 */
const WORTH_A_SCAN = 1 / 8;

export function isFewOf(rows: number, { estimatedRows }: Pick<Table, 'estimatedRows'>): boolean {
  return rows < estimatedRows * WORTH_A_SCAN;
}
