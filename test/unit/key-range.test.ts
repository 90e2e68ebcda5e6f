/** Ranges of keys: for every type and index, "up to" and "after" part the rows exactly where the key's order does. */
import { expect, test } from 'vitest';
import { describeTables } from '../../shared/postgres/catalog.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { keyAfter, keyOrder, keyUpTo, type OrderedKeyColumn } from '../../shared/replicate/key-range.ts';
import { createDatabase } from '../support/database.ts';

async function keyOf(db: Connection): Promise<readonly OrderedKeyColumn[]> {
  const table = (await describeTables(db, [{ schema: 'public', table: 't' }])).get('public.t');
  const [key] = table?.keys ?? [];
  return (key?.columns ?? []).map((column) => ({
    ...column,
    type: table?.columns.find(({ name }) => name === column.name)?.type ?? '',
  }));
}

const WORDS = `('a'), ('B'), ('b'), ('ä'), ('Z'), ('a b'), ('a-b'), ('ab'), (''), ('it''s'), (E'\\\\'), (E'x\\ty')`;
const ICU = `collate "und-x-icu"`;

test.each([
  ['int', `(k int primary key)`, `(-5), (0), (3), (2147483647)`],
  [
    'bigint, descending index',
    `(k bigint not null); create unique index on t (k desc)`,
    `(-5), (0), (9007199254740993)`,
  ],
  ['text', `(k text primary key)`, WORDS],
  ['text of a locale', `(k text ${ICU} primary key)`, WORDS],
  [
    'text of a locale, by bytes',
    `(k text ${ICU} not null); create unique index on t (k text_pattern_ops)`,
    WORDS,
  ],
  [
    'text with the index’s own collation',
    `(k text ${ICU} not null); create unique index on t (k collate "C")`,
    WORDS,
  ],
  [
    'varchar by bytes',
    `(k varchar(9) ${ICU} not null); create unique index on t (k varchar_pattern_ops)`,
    WORDS,
  ],
  ['char(4)', `(k char(4) primary key)`, `('a'), ('b'), ('ab'), ('')`],
  ['citext', `(k citext primary key)`, `('a'), ('B'), ('c'), ('D')`],
  ['boolean', `(k boolean primary key)`, `(true), (false)`],
  ['numeric', `(k numeric primary key)`, `('NaN'), (1.10), (-1), (1e30)`],
  ['float', `(k float8 primary key)`, `('NaN'), ('infinity'), ('-infinity'), (0.1), (-0.1)`],
  [
    'uuid',
    `(k uuid primary key)`,
    `('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('00000000-0000-0000-0000-000000000000')`,
  ],
  ['bytea', `(k bytea primary key)`, `('\\x'), ('\\x00'), ('\\xff'), ('\\x0001')`],
  [
    'timestamptz',
    `(k timestamptz primary key)`,
    `('infinity'), ('-infinity'), ('2024-01-01 00:00:00.000001'), ('4713-01-01 BC')`,
  ],
  ['date', `(k date primary key)`, `('infinity'), ('0044-03-15 BC'), ('2024-02-29')`],
  ['interval', `(k interval primary key)`, `('1 mon'), ('29 days'), ('-1 year'), ('721:00:00')`],
  ['inet', `(k inet primary key)`, `('10.0.0.1'), ('10.0.0.1/8'), ('::1')`],
  ['enum', `(k mood primary key)`, `('sad'), ('ok'), ('happy')`],
  ['domain', `(k code primary key)`, `('x'), ('Y'), ('z')`],
  ['array', `(k int[] primary key)`, `('{}'), ('{1,NULL}'), ('[0:1]={1,2}'), ('{1}')`],
  ['composite', `(k pair primary key)`, `(row(1, 'x''y')), (row(1, null)), (row(null, 'a'))`],
  ['range', `(k int4range primary key)`, `('empty'), ('[1,3)'), ('(,3)'), ('[1,)')`],
  ['name', `(k name primary key)`, `('a'), ('B')`],
  ['"char"', `(k "char" primary key)`, `('a'), (''), ('B')`],
  [
    'several columns',
    `(a int, k text ${ICU}, c citext, primary key (c, k, a))`,
    `(1, 'a', 'X'), (2, 'a', 'x'), (1, 'B', 'X'), (1, 'b', 'y'), (-1, 'b', 'Y'), (0, '', '')`,
  ],
  ['two plain columns', `(a int, k text, primary key (k, a))`, `(1, 'a'), (2, 'a'), (1, 'B'), (0, 'a')`],
])('a key of %s', async (_, definition, values) => {
  const database = await createDatabase(`
    create extension citext; create type mood as enum ('sad', 'ok', 'happy'); create domain code as citext;
    create type pair as (n int, t text);
    create table t ${definition}; insert into t values ${values}`);
  const db = await database.app();
  await db.script('set search_path = pg_catalog');
  const key = await keyOf(db);
  expect(key.length).toBeGreaterThan(0);
  const texts = key.map(({ name }) => `t."${name}"::text`).join(', ');
  const rows = await db.rows<{ key: string[] }>(
    `select array[${texts}] as key from public.t t order by ${keyOrder('t', key)}`,
  );
  expect(rows.length).toBeGreaterThan(1);
  for (const [position, { key: boundary }] of rows.entries()) {
    const counts = await db.row<{ up_to: number; after: number }>(
      `select count(*) filter (where ${keyUpTo('t', key, boundary)})::int as up_to,
         count(*) filter (where ${keyAfter('t', key, boundary)})::int as after from public.t t`,
    );
    expect(counts, boundary.join('|')).toEqual({ up_to: position + 1, after: rows.length - position - 1 });
  }
});

test('a boundary needs a value for each column', () => {
  const key = ['a', 'b'].map((name) => ({
    name,
    type: 'integer',
    equals: 'operator(pg_catalog.=)',
    less: 'operator(pg_catalog.<)',
  }));
  expect(() => keyAfter('t', key, ['1'])).toThrow(RangeError);
  expect(keyAfter('t', key, ['1', '2'])).toBe(`(t."a", t."b") > ('1'::integer, '2'::integer)`);
});
