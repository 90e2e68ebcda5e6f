/** Tables as the catalog describes them, for tests of what is decided about them. */
import type { Column, Table, UniqueIndex } from '../../shared/postgres/catalog.ts';

export function column(name: string, given: Partial<Column> = {}): Column {
  return {
    name,
    type: 'integer',
    castType: 'integer',
    baseType: 'integer',
    collate: '',
    baseCollate: '',
    deterministic: true,
    knownType: true,
    notNull: false,
    hasDefault: false,
    generated: false,
    identity: 'none',
    ...given,
  };
}

export function index(...names: readonly string[]): UniqueIndex {
  const operators = { equals: 'operator(pg_catalog.=)', less: 'operator(pg_catalog.<)' };
  return {
    name: 'key',
    primary: true,
    columns: names.map((name) => ({ name, nullable: false, ...operators })),
  };
}

export function table(columns: readonly Column[], given: Partial<Table> = {}): Table {
  return {
    schema: 'public',
    table: 'orders',
    oid: 1,
    partitioned: false,
    isPartition: false,
    inherits: false,
    subscribed: false,
    estimatedRows: 0,
    columns,
    keys: [index('id')],
    unfitKeys: [],
    uniqueConstraints: 1,
    foreignKeys: [],
    replaceable: true,
    actingKeys: [],
    sizeBytes: 0,
    ...given,
  };
}
