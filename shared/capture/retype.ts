/**
 * Keeps the delta table readable when key columns have got other types. Deltas are text, so the application's writes go on whatever
 * a column becomes; but what was captured before must mean the same key after the change. Where that is not certain, the deltas
 * are dropped and every lane of the table needs a copy. Pure.
 */
import { quoteIdentifier, quoteLiteral } from '../postgres/identifiers.ts';
import { type CaptureSpec, quoteDelta } from './capture-sql.ts';
import type { InstalledRelation } from './installed.ts';
import { outputSettings } from './output-settings.ts';

/** Their text is always the same, but becomes another by a cast to text: `true`, and char(n) without its blanks. */
const OTHER_AS_TEXT = new Set(['boolean', 'bpchar']);

export function retypeSql(
  spec: CaptureSpec,
  { deltaColumns, keyTypes }: Pick<InstalledRelation, 'deltaColumns' | 'keyTypes'>,
): readonly string[] {
  const types = spec.key.map(({ type }) => type);
  const before = keyTypes ?? types;
  const changed = spec.key.filter((_, position) => before[position] !== types[position]);
  const toText = (deltaColumns ?? [])
    .filter(({ name }) => spec.key.some(({ deltaColumn }) => deltaColumn === name))
    .filter(({ type, collate }) => type !== 'text' || collate !== '');
  return [
    ...(toText.length === 0 ? [] : [textColumns(spec, toText), RENEW_MARKS]),
    ...(keyTypes !== undefined && changed.length === 0 ? [] : [recordTypes(spec)]),
    ...(changed.length === 0 ? [] : [followable([...before, ...types]) ? tryDeltas(spec) : dropDeltas(spec)]),
  ];
}

export function recordTypes(spec: CaptureSpec): string {
  const types = spec.key.map(({ type }) => quoteLiteral(type)).join(', ');
  return `update bucardo.relation set key_types = array[${types}] where ${relationIs(spec)}`;
}

/** Earlier versions gave a key column the type that it had in its table. Locks the delta table, and so who writes the table, for the time of a rewrite. */
function textColumns({ deltaName }: CaptureSpec, columns: readonly { readonly name: string }[]): string {
  const changes = columns.map(({ name }) => {
    const column = quoteIdentifier(name);
    return `alter column ${column} type text collate "default" using case when ${column} is distinct from null then concat(${column}) end`;
  });
  return `alter table ${quoteDelta(deltaName)} ${changes.join(', ')}`;
}

/**
 * A run whose snapshot is older than the rewrite finds the delta table empty. It must not advance a mark over that: each mark gets
 * another text of the same meaning, so the run's compare-and-set fails and it begins again. An xmin that is lower than any
 * running id means nothing.
 */
const RENEW_MARKS = `update bucardo.progress set mark = case when mark is null then '1:1:' else format('%s:%s:%s',
  greatest(txid_snapshot_xmin(mark) - 1, 1), txid_snapshot_xmax(mark),
  (select string_agg(id::text, ',' order by id) from txid_snapshot_xip(mark) id)) end::txid_snapshot`;

function followable(types: readonly string[]): boolean {
  return outputSettings(types).length === 0 && !types.some((type) => OTHER_AS_TEXT.has(type));
}

/** Reads all deltas as the new types; drops them if one of them cannot be read so. */
function tryDeltas(spec: CaptureSpec): string {
  const casts = spec.key.map(({ deltaColumn, type }) => `${quoteIdentifier(deltaColumn)}::${type}`);
  const body = `begin
  perform count(row(${casts.join(', ')})::text) from ${quoteDelta(spec.deltaName)};
exception when data_exception then
  ${dropDeltas(spec)};
end`;
  return `do ${quoteLiteral(body)}`;
}

function dropDeltas(spec: CaptureSpec): string {
  return `delete from ${quoteDelta(spec.deltaName)};
  insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select p.sync, p.destination, s.schema_name, s.table_name, 'uncaptured'
  from bucardo.progress p join bucardo.sync_relation s using (sync)
  where ${relationIs(spec)}
  on conflict do nothing`;
}

function relationIs({ schema, table }: CaptureSpec): string {
  return `schema_name = ${quoteLiteral(schema)} and table_name = ${quoteLiteral(table)}`;
}
