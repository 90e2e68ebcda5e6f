/**
 * Which tables of a source belong to a sync: selectors as people write them, and what they match. Pure. `exclude` wins
 * over `tables`, and no pattern reaches into Postgres's own schemas or into `bucardo`.
 */
import {
  displayRelation,
  parseRelation,
  quoteIdentifier,
  type RelationName,
} from '../postgres/identifiers.ts';
import type { RelationSelector, Sync } from './types.ts';

type NamePattern = Omit<RelationSelector, 'capture'>;
export type ParsedSelector = { readonly selector: NamePattern } | { readonly problem: string };

/** Postgres cuts longer names off. */
const NAME_BYTES = 63;
const QUOTED = /"(?:[^"]|"")*"/g;

/**
 * `schema.table`, where either part may hold `*` for any run of characters or be in double quotes. Unquoted names are
 * taken as they are written: `public.Orders` is the table that SQL calls `public."Orders"`.
 */
export function parseSelector(text: string): ParsedSelector {
  const unquoted = text.replaceAll(QUOTED, '');
  const dots = unquoted.split('.').length - 1;
  if (dots === 0) {
    return { problem: `has no schema; write 'schema.table', for example 'public.orders'` };
  }
  if (dots > 1) {
    return { problem: `has more than one dot; write 'schema.table' without the database's name` };
  }
  const name = parseRelation(text);
  if (name === undefined || /[^\p{L}\p{M}\p{N}_$*.]/u.test(unquoted)) {
    return {
      problem: `is no table's name; write 'schema.table', use * for any run of characters, and put names with other characters into double quotes: '"Odd Schema"."Odd Table"'`,
    };
  }
  if ((text.match(QUOTED) ?? []).some((part) => part.includes('*'))) {
    return { problem: 'has a * in double quotes, which cannot be meant literally; leave the quotes out' };
  }
  if ([name.schema, name.table].some((part) => Buffer.byteLength(part) > NAME_BYTES)) {
    return { problem: `has a name of more than ${NAME_BYTES} bytes, which Postgres cannot have` };
  }
  if (isSystemSchema(name.schema)) {
    return { problem: `lies in a schema of Postgres or of Bucardo itself, which is never replicated` };
  }
  return { selector: name };
}

/** Whether a selector names one table, not a pattern. */
export function isLiteral({ schema, table }: NamePattern): boolean {
  return !schema.includes('*') && !table.includes('*');
}

/** A selector for people, `public.*`; equal texts are equal selectors. */
export function displaySelector(selector: NamePattern): string {
  return [selector.schema, selector.table]
    .map((part) => (/^[a-z_*][a-z0-9_$*]*$/.test(part) ? part : quoteIdentifier(part)))
    .join('.');
}

export interface MatchedRelation extends RelationName {
  /** `row` if any selector that matches says so. */
  readonly capture: 'auto' | 'row';
}

export interface RelationMatch {
  /** In the order of `tables`, and of the source for the matches of one pattern. Each relation once. */
  readonly relations: readonly MatchedRelation[];
  /** Selectors of `tables` that leave nothing, because nothing is there or all of it is excluded. */
  readonly unmatched: readonly RelationSelector[];
  /** Selectors of `exclude` that no table of the source fits. */
  readonly unmatchedExcludes: readonly NamePattern[];
}

/** The relations of a sync among `tables`, all that its source has. */
export function matchRelations(
  sync: Pick<Sync, 'include' | 'exclude'>,
  tables: readonly RelationName[],
): RelationMatch {
  const candidates = tables.filter(({ schema }) => !isSystemSchema(schema));
  const excludes = sync.exclude.map((selector) => ({ selector, fits: matcherOf(selector) }));
  const allowed = candidates.filter((table) => !excludes.some(({ fits }) => fits(table)));
  const relations = new Map<string, MatchedRelation>();
  const unmatched: RelationSelector[] = [];
  for (const selector of sync.include) {
    const matched = allowed.filter(matcherOf(selector));
    if (matched.length === 0) unmatched.push(selector);
    for (const { schema, table } of matched) {
      const key = displayRelation({ schema, table });
      const before = relations.get(key)?.capture;
      relations.set(key, { schema, table, capture: before === 'row' ? 'row' : selector.capture });
    }
  }
  return {
    relations: [...relations.values()],
    unmatched,
    unmatchedExcludes: excludes.filter(({ fits }) => !candidates.some(fits)).map(({ selector }) => selector),
  };
}

/** Never replicated: Postgres's own schemas and that of the queue tables. */
export const SYSTEM_SCHEMAS: readonly NamePattern[] = ['pg_*', 'information_schema', 'bucardo'].map(
  (schema) => ({ schema, table: '*' }),
);

const SYSTEM = SYSTEM_SCHEMAS.map(({ schema }) => wildcard(schema));

function isSystemSchema(schema: string): boolean {
  return SYSTEM.some((pattern) => pattern.test(schema));
}

export function matcherOf(selector: NamePattern): (name: RelationName) => boolean {
  const schema = wildcard(selector.schema);
  const table = wildcard(selector.table);
  return (name) => schema.test(name.schema) && table.test(name.table);
}

function wildcard(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.|?*+()[\]{}]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 'su');
}
