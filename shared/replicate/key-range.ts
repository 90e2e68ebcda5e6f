/**
 * Ranges of keys in the order of the source's own index, as conditions that run at the source only: a collation may sort
 * differently elsewhere. Boundaries are the text forms of the key's columns, as stored in `bucardo.copy`.
 */
import type { Column, KeyColumn } from '../postgres/catalog.ts';
import { quoteIdentifier, quoteLiteral } from '../postgres/identifiers.ts';

export interface OrderedKeyColumn extends Pick<KeyColumn, 'name' | 'equals' | 'less'> {
  readonly type: Column['type'];
}

/** Key values in the order of the key's columns. */
export type Boundary = readonly string[];

/** Holds for keys after `boundary`. @param alias of the row that has the key's columns */
export function keyAfter(alias: string, key: readonly OrderedKeyColumn[], boundary: Boundary): string {
  if (key.every(isPlain)) return `(${columnsOf(alias, key)}) > (${literalsOf(key, boundary)})`;
  return lexicographic(alias, key, boundary);
}

/** Holds for keys up to and including `boundary`. */
export function keyUpTo(alias: string, key: readonly OrderedKeyColumn[], boundary: Boundary): string {
  if (key.every(isPlain)) return `(${columnsOf(alias, key)}) <= (${literalsOf(key, boundary)})`;
  return `not ${lexicographic(alias, key, boundary)}`;
}

/** `order by` list that follows the index. */
export function keyOrder(alias: string, key: readonly OrderedKeyColumn[]): string {
  return key.map(({ name, less }) => `${alias}.${quoteIdentifier(name)} using ${less}`).join(', ');
}

/**
 * Postgres's own types compare by operators that our search_path finds, so an index serves the whole row comparison. Not in
 * an index of another order: `text_pattern_ops` has `=`, but `~<~`.
 */
function isPlain({ equals, less }: OrderedKeyColumn): boolean {
  return equals === 'operator(pg_catalog.=)' && less === 'operator(pg_catalog.<)';
}

function columnsOf(alias: string, key: readonly OrderedKeyColumn[]): string {
  return key.map(({ name }) => `${alias}.${quoteIdentifier(name)}`).join(', ');
}

function literalsOf(key: readonly OrderedKeyColumn[], boundary: Boundary): string {
  return key.map(({ type }, position) => literal(boundary, position, type)).join(', ');
}

/** (a > x) or (a = x and ((b > y) or …)), with each type's own operators. */
function lexicographic(alias: string, key: readonly OrderedKeyColumn[], boundary: Boundary): string {
  return key.reduceRight((rest, { name, type, equals, less }, position) => {
    const column = `${alias}.${quoteIdentifier(name)}`;
    const bound = literal(boundary, position, type);
    const beyond = `(${bound} ${less} ${column})`;
    return rest === '' ? beyond : `(${beyond} or (${column} ${equals} ${bound} and ${rest}))`;
  }, '');
}

function literal(boundary: Boundary, position: number, type: string): string {
  const value = boundary[position];
  if (value === undefined) throw new RangeError('a boundary has as many values as the key has columns');
  return `${quoteLiteral(value)}::${type}`;
}
