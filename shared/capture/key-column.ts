/** The columns of a captured key: what they are in their table, and what they are called in the delta table. Pure. */
import type { Column } from '../postgres/catalog.ts';

export interface CapturedColumn {
  /** In the table. */
  readonly name: string;
  /** In the delta table. */
  readonly deltaColumn: string;
  /** What the column is based on, without length or precision; that of its base for a domain. */
  readonly type: string;
  readonly nullable: boolean;
}

/** Columns that every delta table has besides the key's. */
const DELTA_COLUMNS: readonly string[] = ['txntime', 'txid', 'author'];

/**
 * Names of a key's columns in the delta table, in the key's order: as in the table, and so as Bucardo has them, but for names that the
 * delta table has itself. These get `key_` in front, as often as it takes to meet no other.
 */
export function deltaColumnNames(keyColumns: readonly string[]): readonly string[] {
  const taken = new Set([...DELTA_COLUMNS, ...keyColumns]);
  return keyColumns.map((name) => {
    if (!DELTA_COLUMNS.includes(name)) return name;
    let other = `key_${name}`;
    while (taken.has(other)) other = `key_${other}`;
    taken.add(other);
    return other;
  });
}

/** @param keyColumns names, each of one of `columns` */
export function capturedColumns(
  keyColumns: readonly string[],
  columns: readonly Pick<Column, 'name' | 'baseType' | 'notNull'>[],
): readonly CapturedColumn[] {
  const deltaColumns = deltaColumnNames(keyColumns);
  return keyColumns.flatMap((name, position) => {
    const column = columns.find((candidate) => candidate.name === name);
    const deltaColumn = deltaColumns[position];
    if (column === undefined || deltaColumn === undefined) return [];
    return [{ name, deltaColumn, type: column.baseType, nullable: !column.notNull }];
  });
}
