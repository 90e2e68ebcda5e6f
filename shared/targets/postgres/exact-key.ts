/**
 * Keys that source and target may judge differently: by the target's own equality a key may have the row of another key, or be
 * changed on its way into its column. So a target's row belongs to a key only if it is equal by the target's index (which finds it)
 * and also the very same key. Pure.
 */
import type { Column } from '../../postgres/catalog.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { qualifyType } from '../../postgres/type-names.ts';
import { hasManyForms, INTEGERS } from '../../replicate/key-equality.ts';
import type { PlannedKeyColumn, RelationPlan } from '../../replicate/relation-plan.ts';

/** Types that every supported server has, so a text can be read as one of the source's values at the target too. */
const READABLE_EVERYWHERE: ReadonlySet<string> = new Set([
  'boolean',
  'real',
  'double precision',
  'numeric',
  'text',
  'character varying',
  'bpchar',
  'bytea',
  'uuid',
  'date',
  'time without time zone',
  'time with time zone',
  'timestamp without time zone',
  'timestamp with time zone',
  'interval',
  'inet',
  'cidr',
]);

const EQUAL = 'operator(pg_catalog.=)';
const BY_BYTES = 'collate pg_catalog."C"';

/** Names under which a stage gives the key as the source wrote it: none that a column of the plan has. */
export function sourceTextNames({ key, columns }: RelationPlan): readonly string[] {
  const taken = new Set(columns.map(({ name }) => name));
  return key.map((_, index) => {
    let name = `source text ${index}`;
    while (taken.has(name)) name = `${name}_`;
    return name;
  });
}

/** Holds where the target's row `row` is the one of the key in `incoming`, which has the source's texts too. */
export function isRowOf(plan: RelationPlan, row: string, incoming: string): string {
  const texts = sourceTextNames(plan);
  const conditions = plan.key.map((column, index) => {
    const value = `${row}.${quoteIdentifier(column.name)}`;
    const text = `${incoming}.${quoteIdentifier(texts[index] ?? '')}`;
    return sameValue(column, value, `${incoming}.${quoteIdentifier(column.name)}`, text);
  });
  // The equality is asked first, and what another row has is never read as a value of the source.
  return `${equal(plan, row, incoming)} and case when ${equal(plan, row, incoming)} then ${conditions.join(' and ')} else false end`;
}

/** The target's own equality. */
export function equal({ key, nullableKey }: RelationPlan, row: string, incoming: string): string {
  return key
    .map(({ name, targetEquals }) => {
      const column = quoteIdentifier(name);
      return nullableKey
        ? `array[${row}.${column}] operator(pg_catalog.=) array[${incoming}.${column}]`
        : `${row}.${column} ${targetEquals} ${incoming}.${column}`;
    })
    .join(' and ');
}

/** Whether `value`, equal to `typed` by the target's judgement, is what the source wrote as `text`. */
export function sameValue(
  { source, target: column }: PlannedKeyColumn,
  value: string,
  typed: string,
  text: string,
): string {
  const written = textOf(column, value);
  if (source.baseType === column.baseType) {
    return hasManyForms(column) ? `${textOf(column, value)} ${EQUAL} ${textOf(column, typed)}` : 'true';
  }
  // What a floating-point column has of an integer is no integer's text.
  const readAs = INTEGERS.has(source.baseType) ? 'numeric' : source.baseType;
  const same = READABLE_EVERYWHERE.has(readAs)
    ? `(${written})::${qualifyType(readAs)} ${EQUAL} ${text}::${qualifyType(readAs)}`
    : `${written} ${EQUAL} ${text} ${BY_BYTES}`;
  return `case when ${value} is null then ${text} is null else ${same} end`;
}

/** As COPY would write it, compared by its bytes; of `char(n)` without the blanks that fill it up. */
function textOf({ baseType }: Column, value: string): string {
  return baseType === 'bpchar'
    ? `${value}::pg_catalog.text ${BY_BYTES}`
    : `pg_catalog.format('%s', ${value}) ${BY_BYTES}`;
}
