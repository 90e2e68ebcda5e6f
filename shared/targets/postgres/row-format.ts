/**
 * In which COPY format a relation's rows travel from one Postgres to another. Text is exact for every type; binary saves both
 * servers the conversion (measured: a tenth to a seventh of the time of a large batch), but is only as good as the types'
 * agreement on it. Pure.
 */
import type { Column } from '../../postgres/catalog.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { RowFormat } from '../target.ts';

/**
 * Types of pg_catalog whose binary form is the same in all supported versions, depends on no setting, and is refused where a
 * version lacks a value (infinite numerics, before 14). Not among them: interval, whose infinities older servers
 * take for a finite value, and money, which depends on lc_monetary.
 */
const SAME_EVERYWHERE: ReadonlySet<string> = new Set([
  'boolean',
  'smallint',
  'integer',
  'bigint',
  'real',
  'double precision',
  'numeric',
  'text',
  'character',
  'character varying',
  'bytea',
  'uuid',
  'date',
  'time without time zone',
  'time with time zone',
  'timestamp without time zone',
  'timestamp with time zone',
  'json',
  'jsonb',
]);

/** Binary if every column that is written has the same such type, or an array of it, on both sides. */
export function rowFormat({ columns, source }: RelationPlan): RowFormat {
  const types = new Map(source.columns.map(({ name, castType }) => [name, castType]));
  const agrees = ({ name, castType }: Column): boolean =>
    types.get(name) === castType && SAME_EVERYWHERE.has(castType.replace(/\[\]$/, ''));
  return columns.every(agrees) ? 'binary' : 'text';
}
