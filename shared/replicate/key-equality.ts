/**
 * Whether source and target may judge differently which keys are the same. Where they may, one key of the source could be two at the
 * target, or two of the source one: `'Ab'` and `'AB'` under a collation that ignores case, `1.234` and `1.23` in a column
 * with two decimals. Then keys are compared as texts besides (`RelationPlan.exactKey`), which is slower. Pure.
 */
import type { Column } from '../postgres/catalog.ts';

/** Any of these is the same number in all of them. */
export const INTEGERS: ReadonlySet<string> = new Set(['smallint', 'integer', 'bigint']);

const TEXTS: ReadonlySet<string> = new Set(['text', 'character varying']);

/** Types that take no length or precision, and whose equal values are the same. */
const ALWAYS_THE_SAME: ReadonlySet<string> = new Set([
  ...INTEGERS,
  'text',
  'boolean',
  'uuid',
  'date',
  'bytea',
  'oid',
  'inet',
  'cidr',
  'macaddr',
  'macaddr8',
  'pg_lsn',
]);

/** With a length or precision, a value that is stored has one form only. */
const SAME_IF_MODIFIED = /^(numeric|character)\(/;

/** Stored values that are equal are the same, whatever the length or precision. */
const SAME_AS_STORED: ReadonlySet<string> = new Set([
  ...ALWAYS_THE_SAME,
  'character varying',
  'name',
  'bit',
  'bit varying',
  'timestamp without time zone',
  'timestamp with time zone',
  'time without time zone',
  'time with time zone',
]);

/** A column with the equality of its index, schema-qualified. */
export interface ComparedColumn {
  readonly column: Column;
  readonly equals: string;
}

export function mayJudgeDifferently(source: ComparedColumn, target: ComparedColumn): boolean {
  const [from, to] = [source.column, target.column];
  const known = ({ column, equals }: ComparedColumn): boolean =>
    column.knownType && column.deterministic && equals === 'operator(pg_catalog.=)';
  if (!known(source) || !known(target)) return true;
  if (INTEGERS.has(from.baseType) && INTEGERS.has(to.baseType)) return false;
  if (TEXTS.has(from.baseType) && TEXTS.has(to.baseType)) return !(lengthOf(to) >= lengthOf(from));
  if (from.baseType !== to.baseType) return true;
  if (ALWAYS_THE_SAME.has(from.baseType)) return false;
  // The same function judges on both sides; a precision that differs changes values on their way. A domain's is not known.
  return from.type !== to.type || from.castType !== from.baseType;
}

/** Values that are equal at the target may still differ there: `1.0` and `1.00`, or texts under a collation that ignores case. */
export function hasManyForms({ knownType, deterministic, baseType, type }: Column): boolean {
  if (!knownType || !deterministic) return true;
  return !SAME_AS_STORED.has(baseType) && !SAME_IF_MODIFIED.test(type);
}

/** Greatest number of characters; of a domain over `character varying` it is not known. */
function lengthOf({ type, baseType, castType }: Column): number {
  if (baseType === 'text') return Number.MAX_SAFE_INTEGER;
  const limit = /^character varying\((\d+)\)$/.exec(type)?.[1];
  if (limit !== undefined) return Number(limit);
  return castType === baseType ? Number.MAX_SAFE_INTEGER : Number.NaN;
}
