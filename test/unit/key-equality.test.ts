import { expect, test } from 'vitest';
import type { Column } from '../../shared/postgres/catalog.ts';
import { mayJudgeDifferently } from '../../shared/replicate/key-equality.ts';
import { column } from '../support/described-tables.ts';

function typed(type: string, given: Partial<Column> = {}): Column {
  const castType = type.replace(/\(.*\)/, '');
  return column('k', { type, castType, baseType: castType, ...given });
}

function differ(from: Column, to: Column, equals = 'operator(pg_catalog.=)'): boolean {
  return mayJudgeDifferently({ column: from, equals }, { column: to, equals });
}

test.each([
  ['integer', 'integer'],
  ['integer', 'bigint'],
  ['bigint', 'smallint'],
  ['text', 'text'],
  ['text', 'character varying'],
  ['character varying(10)', 'text'],
  ['character varying(10)', 'character varying(20)'],
  ['uuid', 'uuid'],
  ['numeric(10,2)', 'numeric(10,2)'],
  ['numeric', 'numeric'],
  ['timestamp with time zone', 'timestamp with time zone'],
  ['double precision', 'double precision'],
])('keys of %s at the source and %s at the target are judged alike', (from, to) => {
  expect(differ(typed(from), typed(to))).toBe(false);
});

test.each([
  ['text', 'character varying(20)'],
  ['character varying(20)', 'character varying(10)'],
  ['text', 'bpchar'],
  ['numeric', 'numeric(10,2)'],
  ['numeric(10,2)', 'numeric(12,2)'],
  ['integer', 'numeric'],
  ['bigint', 'double precision'],
  ['timestamp(6) with time zone', 'timestamp(3) with time zone'],
])('keys of %s at the source and %s at the target may be judged differently', (from, to) => {
  expect(differ(typed(from), typed(to))).toBe(true);
});

test('collations that are not deterministic, types of extensions and their operators may judge differently', () => {
  const text = typed('text');
  const ignoringCase = typed('text', { deterministic: false });
  const citext = typed('public.citext', { knownType: false });
  expect(differ(ignoringCase, text)).toBe(true);
  expect(differ(text, ignoringCase)).toBe(true);
  expect(differ(ignoringCase, ignoringCase)).toBe(true);
  expect(differ(citext, citext)).toBe(true);
  expect(differ(text, text, 'operator(public.=)')).toBe(true);
});

test('a domain counts as what it is based on, where that has no precision', () => {
  const domain = (baseType: string): Column =>
    column('k', { type: 'public.d', castType: 'public.d', baseType });
  expect(differ(domain('integer'), typed('integer'))).toBe(false);
  expect(differ(domain('text'), domain('text'))).toBe(false);
  expect(differ(domain('numeric'), domain('numeric'))).toBe(true);
  expect(differ(typed('character varying(10)'), domain('character varying'))).toBe(true);
});
