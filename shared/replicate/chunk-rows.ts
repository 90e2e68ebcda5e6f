/** How many rows a chunk of a copy has. Pure. */
import type { Table } from '../postgres/catalog.ts';

/** One chunk's size: a few seconds of work, so that little is repeated after a kill and a time limit is met. */
const CHUNK_BYTES = 64 * 1024 * 1024;
const FEWEST_ROWS = 100;
const MOST_ROWS = 500_000;

/** Without statistics the table is new or small. */
const UNKNOWN_ROWS = 20_000;

export function chunkRows({ estimatedRows, sizeBytes }: Pick<Table, 'estimatedRows' | 'sizeBytes'>): number {
  if (estimatedRows === 0) return UNKNOWN_ROWS;
  const bytesPerRow = Math.max(1, sizeBytes / estimatedRows);
  return Math.round(Math.min(MOST_ROWS, Math.max(FEWEST_ROWS, CHUNK_BYTES / bytesPerRow)));
}
