/** Which tables a sync takes: names exactly as written, patterns by `*`, exclusion before all. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  displaySelector,
  matchRelations,
  type ParsedSelector,
  parseSelector,
} from '../../shared/config/relations.ts';
import type { RelationSelector } from '../../shared/config/types.ts';
import { displayRelation, quoteRelation, type RelationName } from '../../shared/postgres/identifiers.ts';

function selectorOf(parsed: ParsedSelector): Omit<RelationSelector, 'capture'> {
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.selector;
}

const include = (...texts: readonly string[]): readonly RelationSelector[] =>
  texts.map((text) => ({ ...selectorOf(parseSelector(text)), capture: 'auto' }));
const exclude = (...texts: readonly string[]) => texts.map((text) => selectorOf(parseSelector(text)));
const names = (...texts: readonly string[]): readonly RelationName[] =>
  texts.map((text) => selectorOf(parseSelector(text)));
const shown = (relations: readonly RelationName[]): readonly string[] => relations.map(displayRelation);

const source = names(
  'public.orders',
  'public.order_items',
  'public.log_2025',
  'public.Orders',
  'shop.orders',
  '"Odd Schema"."Odd.Table"',
  'public.a$b',
);

test.each([
  [['public.orders'], [], ['public.orders']],
  [['public.Orders'], [], ['public."Orders"']],
  [['public.order*'], [], ['public.orders', 'public.order_items']],
  [['*.orders'], [], ['public.orders', 'shop.orders']],
  [['p*c.*s'], [], ['public.orders', 'public.order_items', 'public."Orders"']],
  [['public.*'], ['public.log_*', '*.Orders'], ['public.orders', 'public.order_items', 'public.a$b']],
  [['public.a$b', 'public.a$*'], [], ['public.a$b']],
  [['"Odd Schema"."Odd.Table"'], [], ['"Odd Schema"."Odd.Table"']],
  [['"Odd Schema".*'], [], ['"Odd Schema"."Odd.Table"']],
  [['shop.*', 'public.orders'], [], ['shop.orders', 'public.orders']],
  [
    ['public.orders', 'public.*'],
    ['public.orders'],
    ['public.order_items', 'public.log_2025', 'public."Orders"', 'public.a$b'],
  ],
])('%j without %j is %j', (included, excluded, expected) => {
  const match = matchRelations({ include: include(...included), exclude: exclude(...excluded) }, source);
  expect(shown(match.relations)).toEqual(expected);
});

test('no pattern reaches schemas of Postgres or of the queue tables', () => {
  const system: readonly RelationName[] = [
    { schema: 'pg_catalog', table: 'pg_class' },
    { schema: 'pg_toast_temp_1', table: 't' },
    { schema: 'information_schema', table: 'sql_features' },
    { schema: 'bucardo', table: 'progress' },
    { schema: 'bucardo_app', table: 'mine' },
  ];
  const match = matchRelations({ include: include('*.*'), exclude: [] }, system);
  expect(shown(match.relations)).toEqual(['bucardo_app.mine']);
});

test('a pattern matches by letters, never as a regular expression', () => {
  const literal = { schema: 'public', table: 'a.c+', capture: 'auto' } as const;
  const tables = [
    { schema: 'public', table: 'abcc' },
    { schema: 'public', table: 'a.c+' },
    { schema: 'publicx', table: 'a.c+' },
  ];
  expect(matchRelations({ include: [literal], exclude: [] }, tables).relations).toEqual([
    { schema: 'public', table: 'a.c+', capture: 'auto' },
  ]);
});

test('selectors that leave nothing are told, excludes too', () => {
  const match = matchRelations(
    {
      include: include('public.orders', 'public.gone', 'erp.*', 'public.log_*'),
      exclude: exclude('public.log_*', 'public.audit_*'),
    },
    source,
  );
  expect(match.unmatched.map(displaySelector)).toEqual(['public.gone', 'erp.*', 'public.log_*']);
  expect(match.unmatchedExcludes.map(displaySelector)).toEqual(['public.audit_*']);
});

test('row-level capture is taken if any selector of a table asks for it, in any order', () => {
  const wide: RelationSelector = { schema: 'public', table: '*', capture: 'auto' };
  const exact: RelationSelector = { schema: 'public', table: 'orders', capture: 'row' };
  for (const selectors of [
    [wide, exact],
    [exact, wide],
  ]) {
    const { relations } = matchRelations({ include: selectors, exclude: [] }, source);
    expect(relations.filter(({ capture }) => capture === 'row').map(displayRelation)).toEqual([
      'public.orders',
    ]);
    expect(new Set(shown(relations)).size).toBe(relations.length);
  }
});

test('every name that Postgres allows can be selected by its quoted form, and selects itself only', () => {
  const part = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter(
      (text) =>
        !text.includes('*') && !text.includes('\0') && Buffer.byteLength(text) <= 63 && text.isWellFormed(),
    );
  fc.assert(
    fc.property(part, part, part, (schema, table, other) => {
      fc.pre(!schema.startsWith('pg_') && other !== table);
      const selector = selectorOf(parseSelector(quoteRelation({ schema, table })));
      const { relations } = matchRelations({ include: [{ ...selector, capture: 'auto' }], exclude: [] }, [
        { schema, table },
        { schema, table: other },
        { schema: other, table },
      ]);
      expect(relations.filter((name) => name.schema === schema)).toEqual([
        { schema, table, capture: 'auto' },
      ]);
      expect(selectorOf(parseSelector(displaySelector(selector)))).toEqual(selector);
    }),
    { numRuns: 500 },
  );
});
