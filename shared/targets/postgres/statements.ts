/**
 * The SQL by which changes reach a Postgres table. Every statement takes its rows from `incoming`, a `from`-item whose columns have
 * the target's names and types. All names are qualified: the statements run under the search_path of the role, as users' triggers
 * expect it, and no schema in it may stand in for Postgres's own. Pure.
 */
import { type Column, ownRows } from '../../postgres/catalog.ts';
import {
  displayRelation,
  quoteIdentifier,
  quoteRelation,
  type RelationName,
} from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import { isRowOf } from './exact-key.ts';
import type { RowFormat } from '../target.ts';

/** MERGE came with Postgres 15. */
const MERGE_SINCE = 150000;

/** Columns of a stream of changes after its leading `gone` flag: the key, then the other columns of the plan. */
export function changeColumns(plan: RelationPlan): readonly Column[] {
  const keyNames = new Set(plan.key.map(({ name }) => name));
  return [...plan.key.map(({ target }) => target), ...plan.columns.filter(({ name }) => !keyNames.has(name))];
}

/**
 * Target rows of the keys in `incoming` are deleted. NULL equals NULL in keys that may be NULL.
 *
 * @param unless `from`-item of keys whose rows stay: two keys that differ at the source may have one row at the target
 */
export function deleteStatement(plan: RelationPlan, incoming: string, unless?: string): string {
  return `delete from ${target(plan)} t using ${incoming} s where ${sameKey(plan)}${exceptRowsOf(plan, unless)}`;
}

function exceptRowsOf(plan: RelationPlan, unless: string | undefined): string {
  if (unless === undefined) return '';
  return ` and not exists (select from ${unless} p where ${sameKey(plan, 't', 'p')})`;
}

/** As above, but for rows whose deletion would harm others: these stay until nothing refers to them any more. */
export function deleteUnreferred(plan: RelationPlan, incoming: string, unless?: string): string {
  const unreferred = plan.guardingKeys.map(({ table, partitioned, columns }) => {
    const refers = columns.map(
      ({ referring, referenced, equals }) =>
        `t.${quoteIdentifier(referenced)} ${equals} c.${quoteIdentifier(referring)}`,
    );
    // A row that refers to itself does not hold itself.
    const other = isItself(plan, table)
      ? ['(c.tableoid, c.ctid) operator(pg_catalog.<>) (t.tableoid, t.ctid)']
      : [];
    return ` and not exists (select from ${ownRows({ ...table, partitioned })} c where ${[...refers, ...other].join(' and ')})`;
  });
  return `${deleteStatement(plan, incoming, unless)}${unreferred.join('')}`;
}

/** Whether some key in `incoming` still has a row: column `left`. */
export function anyLeft(plan: RelationPlan, incoming: string, unless?: string): string {
  const rest = exceptRowsOf(plan, unless);
  return `select exists (select from ${target(plan)} t join ${incoming} s on ${sameKey(plan)} where true${rest}) as "left"`;
}

export function isItself(plan: RelationPlan, table: RelationName): boolean {
  return displayRelation(plan) === displayRelation(table);
}

/**
 * Rows of `incoming` are inserted, or replace what the key has. Locks the rows in the order of `incoming`.
 * Postgres 15 and newer: MERGE, measured 1.2 to 1.6 times as fast as ON CONFLICT for rows that exist.
 */
export function upsertStatement(plan: RelationPlan, incoming: string, serverVersion: number): string {
  const changed = plan.columns.filter((column) => mayBeUpdated(plan, column));
  if (serverVersion >= MERGE_SINCE) {
    const matched =
      changed.length === 0
        ? 'do nothing'
        : `update set ${changed.map(({ name }) => `${quoteIdentifier(name)} = s.${quoteIdentifier(name)}`).join(', ')}`;
    return `
      merge into ${target(plan)} t using ${incoming} s on ${sameKey(plan)}
      when matched then ${matched}
      when not matched then insert (${names(plan.columns)}) overriding system value values (${names(plan.columns, 's')})`;
  }
  const conflict =
    changed.length === 0
      ? 'do nothing'
      : `do update set ${changed.map(({ name }) => `${quoteIdentifier(name)} = excluded.${quoteIdentifier(name)}`).join(', ')}`;
  return `
    insert into ${quoteRelation(plan)} as t (${names(plan.columns)}) overriding system value
    select ${names(plan.columns, 's')} from ${incoming} s
    on conflict (${plan.key.map(({ name }) => quoteIdentifier(name)).join(', ')}) ${conflict}`;
}

/**
 * Rows of `incoming` take the place of whatever has their keys. One statement, so that NO ACTION foreign keys see only its
 * outcome; counting the deleted rows makes sure that all of them are gone before the first is inserted. Columns that only the
 * target has keep their values, except in tables whose key may be NULL: there no row stands for another.
 */
export function replaceStatement(plan: RelationPlan, incoming: string): string {
  if (plan.targetOnly.length > 0 && !plan.nullableKey) return replaceKeepingStatement(plan, incoming);
  return `
    with gone as (${deleteStatement(plan, incoming)} returning 1)
    insert into ${quoteRelation(plan)} (${names(plan.columns)}) overriding system value
    select ${names(plan.columns, 's')} from (select pg_catalog.count(*) from gone) all_gone cross join ${incoming} s`;
}

/** As above; rows that were there before are inserted with their own columns' values, new ones with the defaults. */
function replaceKeepingStatement(plan: RelationPlan, incoming: string): string {
  const table = quoteRelation(plan);
  return `
    with arriving as (select * from ${incoming} i),
    gone as (${deleteStatement(plan, 'arriving')} returning t.*),
    kept as (
      insert into ${table} (${names([...plan.columns, ...plan.targetOnly])}) overriding system value
      select ${names(plan.columns, 's')}, ${names(plan.targetOnly, 't')}
      from (select pg_catalog.count(*) from gone) all_gone cross join arriving s join gone t on ${sameKey(plan)}
    )
    insert into ${table} (${names(plan.columns)}) overriding system value
    select ${names(plan.columns, 's')} from (select pg_catalog.count(*) from gone) all_gone cross join arriving s
    where not exists (select from gone t where ${sameKey(plan)})`;
}

export function copyIntoTable(plan: RelationPlan, format: RowFormat): string {
  return `copy ${quoteRelation(plan)} (${names(plan.columns)}) from stdin (format ${format})`;
}

/** Whether an update can set every column; otherwise rows have to be deleted and inserted. */
export function canUpsert(plan: RelationPlan): boolean {
  if (plan.nullableKey) return false;
  return plan.columns.every((column) => column.identity !== 'always' || isKey(plan, column));
}

export function mayBeUpdated(plan: RelationPlan, column: Column): boolean {
  // The key is written too: keys that are equal to their type may still differ (citext, numeric).
  return !(isKey(plan, column) && column.identity === 'always');
}

function isKey(plan: RelationPlan, { name }: Column): boolean {
  return plan.key.some((column) => column.name === name);
}

export function target(plan: RelationPlan): string {
  return ownRows(plan.target);
}

export function names(columns: readonly { readonly name: string }[], alias?: string): string {
  return columns
    .map(({ name }) => `${alias === undefined ? '' : `${alias}.`}${quoteIdentifier(name)}`)
    .join(', ');
}

function sameKey(plan: RelationPlan, row = 't', incoming = 's'): string {
  if (plan.exactKey) return isRowOf(plan, row, incoming);
  return plan.key
    .map(({ name, targetEquals }) => {
      const column = quoteIdentifier(name);
      return plan.nullableKey
        ? `array[${row}.${column}] operator(pg_catalog.=) array[${incoming}.${column}]`
        : `${row}.${column} ${targetEquals} ${incoming}.${column}`;
    })
    .join(' and ');
}
