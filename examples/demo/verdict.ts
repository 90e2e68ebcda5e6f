/** The comparison's outcome as text. Pure. */
import { formatCount, formatTable } from '../../cli/table.ts';
import { allEqual, type TableVerdict } from './compare.ts';

export function verdictLines(verdicts: readonly TableVerdict[]): readonly string[] {
  const names = verdicts[0]?.targets.map(({ name }) => name) ?? [];
  const table = formatTable(
    [
      { title: 'table', align: 'left' },
      { title: 'rows', align: 'right' },
      ...names.map((name) => ({ title: name, align: 'left' }) as const),
    ],
    verdicts.map(({ table, rowsAtSource, targets }) => [
      table,
      formatCount(rowsAtSource),
      ...targets.map(({ equal, rows }) => (equal ? 'equal' : `DIFFERS, ${formatCount(rows)} rows`)),
    ]),
  );
  const rows = verdicts.reduce((sum, { rowsAtSource }) => sum + rowsAtSource, 0);
  const verdict = allEqual(verdicts)
    ? `EQUAL: all ${formatCount(rows)} rows are the same at the source and at ${names.join(' and ')}.`
    : 'NOT EQUAL: source and targets differ.';
  return [...table.map((line) => `   ${line}`), '', verdict];
}
