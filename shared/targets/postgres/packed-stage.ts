/**
 * Changes in a temporary table in which every row fits and every value gets in, to be judged later: keys as text, and all other
 * columns together as one text, the row's text form. As columns of their own, hundreds of short values would not fit into
 * a page: only long ones can be moved out of it. And a table of 1,600 columns has no room for ours.
 */
import type { Column } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { qualifyType } from '../../postgres/type-names.ts';
import type { Selection } from '../../replicate/bisect.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { RelationChanges } from '../target.ts';
import { sourceTextNames } from './exact-key.ts';
import { changeColumns } from './statements.ts';

export interface PackedStage {
  readonly plan: RelationPlan;
  readonly table: string;
  /** The key, as text. */
  readonly keyColumns: readonly string[];
  /** How many keys have no row any more, and how many have one. Both kinds are numbered together from 1. */
  readonly gone: number;
  readonly present: number;
  /** All rows of a kind, as a `from`-item whose columns have the target's names and types. */
  readonly all: (kind: 'gone' | 'present') => string;
  /** Some rows of a kind, and the values to bind. */
  readonly select: (
    kind: 'gone' | 'present',
    selection: Selection,
  ) => { readonly from: string; readonly values: readonly unknown[] };
}

/** @param position tells the temporary tables of one transaction apart */
export async function stagePacked(
  db: Connection,
  { plan, packed }: RelationChanges,
  position: number,
): Promise<PackedStage> {
  const columns = changeColumns(plan);
  const key = columns.slice(0, plan.key.length);
  const others = columns.slice(plan.key.length);
  const table = `pg_temp.${quoteIdentifier(`bucardo packed ${position}`)}`;
  const rowType = `pg_temp.${quoteIdentifier(`bucardo row ${position}`)}`;
  const keyColumns = key.map((_, index) => `k${index}`);
  const definitions = keyColumns.map((name) => `${name} pg_catalog.text, `).join('');
  // The second one is never filled: its row type reads the packed rows.
  await db.script(`
    create temporary table ${table} (n bigint generated always as identity primary key, gone boolean, ${definitions}packed pg_catalog.text)
      on commit drop;
    create temporary table ${rowType} (${others.map((_, index) => `c${index} pg_catalog.text`).join(', ')}) on commit drop`);
  await db.copyIn(`copy ${table} (gone, ${keyColumns.join(', ')}, packed) from stdin`, await packed());
  // Without statistics the planner takes any range of numbers for a handful of rows.
  await db.script(`analyze ${table} (n, gone)`);
  const counts = await db.row<{ gone: string; present: string }>(
    `select pg_catalog.count(*) filter (where gone) as gone, pg_catalog.count(*) filter (where not gone) as present from ${table}`,
  );
  const item = (kind: 'gone' | 'present', condition: string): string => {
    const list = [
      ...(plan.exactKey ? sourceTextNames(plan) : []).map(
        (name, index) => `i.k${index} as ${quoteIdentifier(name)}`,
      ),
      ...key.map((column, index) => cast(`i.k${index}`, column)),
      ...(kind === 'gone' ? [] : others.map((column, index) => cast(`u.c${index}`, column))),
    ];
    // As a function's result the row is taken apart once, and not once for each column.
    const unpacked =
      kind === 'gone' || others.length === 0
        ? ''
        : `cross join lateral pg_catalog.unnest(array[i.packed::${rowType}]) as u`;
    return `(select ${list.join(', ')} from ${table} i ${unpacked} where ${kind === 'gone' ? 'i.gone' : 'not i.gone'} ${condition})`;
  };
  return {
    plan,
    table,
    keyColumns,
    gone: Number(counts.gone),
    present: Number(counts.present),
    all: (kind) => item(kind, ''),
    select: (kind, selection) =>
      'numbers' in selection
        ? {
            from: item(kind, 'and i.n operator(pg_catalog.=) any ($1::pg_catalog.int8[])'),
            values: [selection.numbers],
          }
        : {
            from: item(
              kind,
              'and i.n operator(pg_catalog.>=) $1::pg_catalog.int8 and i.n operator(pg_catalog.<=) $2::pg_catalog.int8',
            ),
            values: [selection.from, selection.to],
          },
  };
}

/** Text into the target's type without cutting anything off: the cast has no length, the table's column then judges. */
function cast(text: string, { name, baseType, collate }: Column): string {
  return `${text}::${qualifyType(baseType)}${collate} as ${quoteIdentifier(name)}`;
}
