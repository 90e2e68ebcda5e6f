/**
 * The statements for rows whose keys source and target may judge differently. Nothing is written for a key that the target takes for
 * another one or does not keep.
 *
 * A row that is gone under one text of its key and there under another, both equal at the target, keeps its place there: it is updated, so
 * that what refers to it goes on doing so. Pure.
 */
import { BucardoError } from '../../errors/bucardo-error.ts';
import { displayRelation, quoteIdentifier } from '../../postgres/identifiers.ts';
import { qualifyType } from '../../postgres/type-names.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import { equal, isRowOf, sameValue, sourceTextNames } from './exact-key.ts';
import { mayBeUpdated, names, target } from './statements.ts';

/**
 * Column `left`: whether some row in `incoming` would not be kept as a row of its own. Two of them have one key at the target; or
 * another row has the key there; or the column's type changes it.
 *
 * @param gone keys whose rows make room
 */
export function anyNotKept(plan: RelationPlan, incoming: string, gone: string): string {
  const texts = sourceTextNames(plan);
  const key = plan.key.map(({ name }) => `s.${quoteIdentifier(name)}`).join(', ');
  const kept = plan.key.map((column, index) => {
    const name = quoteIdentifier(column.name);
    const stored = `s.${name}::${qualifyType(column.target.type)}`;
    const nullSafe = `s.${name} is null or ${stored} ${column.targetEquals} s.${name}`;
    return `(${nullSafe}) and ${sameValue(column, stored, `s.${name}`, `s.${quoteIdentifier(texts[index] ?? '')}`)}`;
  });
  const twins = plan.nullableKey
    ? ''
    : `exists (select from ${incoming} s group by ${key} having pg_catalog.count(*) operator(pg_catalog.>) 1) or `;
  return `
    select ${twins}exists (select from ${incoming} s where not (${kept.join(' and ')}))
      or exists (
        select from ${target(plan)} t join ${incoming} s on ${equal(plan, 't', 's')}
        where not (${isRowOf(plan, 't', 's')}) and not exists (select from ${gone} g where ${isRowOf(plan, 't', 'g')})
      ) as "left"`;
}

/** What `anyNotKept` has found. Treated like a unique violation: it may pass when the other row moves. */
export function notKept(plan: RelationPlan, database: string): BucardoError {
  return new BucardoError('BUC-ROW-REFUSED', {
    database,
    relation: displayRelation(plan),
    detail: `the target takes its key for that of another row, or changes it: (${plan.key.map(({ name }) => name).join(', ')}) has another type, precision or collation there, SQLSTATE 23505`,
    sqlstate: '23505',
  });
}

/** Rows of `incoming` are inserted, or replace what their key has, or what an equal key has that is gone. */
export function exactUpsertStatement(plan: RelationPlan, incoming: string, gone: string): string {
  const changed = plan.columns.filter((column) => mayBeUpdated(plan, column));
  const replaces = `${equal(plan, 't', 's')}
    and (${isRowOf(plan, 't', 's')} or exists (select from ${gone} g where ${isRowOf(plan, 't', 'g')}))`;
  const set = changed.map(({ name }) => `${quoteIdentifier(name)} = s.${quoteIdentifier(name)}`).join(', ');
  const update =
    changed.length === 0
      ? ''
      : `changed as (update ${target(plan)} t set ${set} from arriving s where ${replaces} returning 1),`;
  return `
    with arriving as materialized (select * from ${incoming} i),
    ${update}
    added as (
      insert into ${target(plan).replace(/^only /, '')} (${names(plan.columns)}) overriding system value
      select ${names(plan.columns, 's')} from arriving s
      where not exists (select from ${target(plan)} t where ${replaces})
      returning 1
    )
    select 1 as one from added${changed.length === 0 ? '' : ' union all select 1 from changed'}`;
}
