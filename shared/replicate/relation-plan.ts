/**
 * How one relation travels from its source to one target: which columns, by which key. Pure; refuses what would lose or
 * invent data, with an error that names the column.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import { type ActingKey, type Column, type KeyColumn, type Table, unfitText } from '../postgres/catalog.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { mayJudgeDifferently } from './key-equality.ts';

export interface PlannedKeyColumn extends KeyColumn {
  /** The column in the source. */
  readonly source: Column;
  /** The column in the target, whose type may differ. */
  readonly target: Column;
  /** Equality by the target's own index. */
  readonly targetEquals: string;
}

export interface RelationPlan extends RelationName {
  /** The delta table's name, in schema bucardo. */
  readonly deltaName: string;
  readonly source: Table;
  readonly target: Table;
  /** Columns that are written at the target, in the source's order; described as the target has them. */
  readonly columns: readonly Column[];
  readonly key: readonly PlannedKeyColumn[];
  /** Some key column may be NULL: rows are then replaced as sets of equal keys, NULL equal to NULL. */
  readonly nullableKey: boolean;
  /**
   * Source and target may judge differently which keys are the same. A key is then what its text is: a row whose key is written
   * differently now is gone under the old text and there under the new one, and the target takes no row for another one.
   */
  readonly exactKey: boolean;
  /** Columns that only the target has and that it does not compute: their values are to be kept. */
  readonly targetOnly: readonly Column[];
  /**
   * Foreign keys of the lane's own tables that would do harm at the target when a row is deleted. Those that cascade: rows may
   * have moved away from it at the source, and what refers to them in turn has then not changed at all, so nothing would
   * bring it back. Those that change the referring row's key: no delta speaks of a row with the new one.
   */
  readonly guardingKeys: readonly ActingKey[];
}

/** One relation as the source's registry has it. */
export interface CapturedRelation extends RelationName {
  readonly deltaName: string;
  readonly keyColumns: readonly string[];
  /** Oid of the table that is captured; undefined if it was never recorded. */
  readonly tableOid?: number | undefined;
}

/**
 * @param names of the databases in the configuration, for errors
 * @param laneKeys key columns of all relations that the lane writes, by display name
 * @throws BUC-TABLE-MISSING, BUC-TABLE-REPLACED, BUC-KEY-CHANGED, BUC-COLUMN-MISSING, BUC-COLUMN-REQUIRED, BUC-TARGET-NO-UNIQUE
 */
export function planRelation(
  captured: CapturedRelation,
  source: Table | undefined,
  target: Table | BucardoError | undefined,
  names: { readonly source: string; readonly destination: string },
  laneKeys: ReadonlyMap<string, readonly string[]> = new Map(),
): RelationPlan {
  const relation = displayRelation(captured);
  if (source === undefined) throw new BucardoError('BUC-TABLE-MISSING', { database: names.source, relation });
  if (captured.tableOid !== undefined && captured.tableOid !== source.oid)
    throw new BucardoError('BUC-TABLE-REPLACED', { database: names.source, relation });
  if (target instanceof BucardoError) throw target;
  if (target === undefined)
    throw new BucardoError('BUC-TABLE-MISSING', { database: names.destination, relation });
  const concern = { database: names.destination, relation };

  const sourceKey = source.keys.find((key) => sameNames(key.columns, captured.keyColumns));
  if (sourceKey === undefined) {
    throw new BucardoError('BUC-KEY-CHANGED', {
      database: names.source,
      relation,
      detail: `captured by (${captured.keyColumns.join(', ')}), which is no key of the table now`,
    });
  }
  const targetColumns = new Map(target.columns.map((column) => [column.name, column]));
  const columns: Column[] = [];
  for (const { name } of source.columns) {
    const column = targetColumns.get(name);
    if (column === undefined) throw new BucardoError('BUC-COLUMN-MISSING', { ...concern, column: name });
    if (!column.generated) columns.push(column);
  }
  const sourceNames = new Set(source.columns.map(({ name }) => name));
  const own = target.columns.filter(({ name }) => !sourceNames.has(name));
  const required = own.find((column) => column.notNull && !fillsItself(column));
  if (required !== undefined)
    throw new BucardoError('BUC-COLUMN-REQUIRED', { ...concern, column: required.name });

  const targetKey = target.keys.find((key) => sameNames(key.columns, captured.keyColumns));
  if (targetKey === undefined) {
    throw new BucardoError('BUC-TARGET-NO-UNIQUE', {
      ...concern,
      detail: [`(${captured.keyColumns.join(', ')})`, unfitText(sameKeys(target, captured.keyColumns))]
        .filter((text) => text !== undefined)
        .join('; '),
    });
  }
  const key = captured.keyColumns.map((name): PlannedKeyColumn => {
    const inSource = sourceKey.columns.find((column) => column.name === name);
    const inTarget = targetKey.columns.find((column) => column.name === name);
    const column = targetColumns.get(name);
    const sourceColumn = source.columns.find((candidate) => candidate.name === name);
    if (
      inSource === undefined ||
      inTarget === undefined ||
      column === undefined ||
      sourceColumn === undefined
    ) {
      throw new BucardoError('BUC-KEY-CHANGED', { ...concern, column: name });
    }
    return { ...inSource, source: sourceColumn, target: column, targetEquals: inTarget.equals };
  });
  return {
    schema: captured.schema,
    table: captured.table,
    deltaName: captured.deltaName,
    source,
    target,
    columns,
    key,
    nullableKey: key.some(({ nullable }) => nullable),
    exactKey: key.some((column) =>
      mayJudgeDifferently(
        { column: column.source, equals: column.equals },
        { column: column.target, equals: column.targetEquals },
      ),
    ),
    targetOnly: own.filter(({ generated }) => !generated),
    guardingKeys: target.actingKeys.filter(({ action, table, columns: acting }) => {
      const keyColumns = laneKeys.get(displayRelation(table));
      return (
        keyColumns !== undefined &&
        (action === 'cascade' || acting.some(({ referring }) => keyColumns.includes(referring)))
      );
    }),
  };
}

function fillsItself({ hasDefault, identity, generated }: Column): boolean {
  return hasDefault || identity !== 'none' || generated;
}

/** Unique indexes on the very key that cannot serve all the same. */
function sameKeys({ unfitKeys }: Table, key: readonly string[]): Table['unfitKeys'] {
  return unfitKeys.filter(({ columns }) =>
    sameNames(
      columns.map((name) => ({ name })),
      key,
    ),
  );
}

function sameNames(columns: readonly { readonly name: string }[], names: readonly string[]): boolean {
  return columns.length === names.length && columns.every(({ name }) => names.includes(name));
}
