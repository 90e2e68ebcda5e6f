/** A configuration in which a change would be delivered twice, sent back or not at all is refused, and nothing else is. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commonName } from '../../shared/config/pattern-overlap.ts';
import { matcherOf } from '../../shared/config/relations.ts';
import { env, parameter, secret } from '../../shared/config/index.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

interface SyncText {
  /** `shop → reports archive` */
  readonly way: string;
  readonly tables: readonly string[];
  readonly exclude?: readonly string[];
}

const NAMES = ['shop', 'crm', 'reports', 'third', 'archive'];

function problemsOf(syncs: Readonly<Record<string, SyncText>>, urls: Readonly<Record<string, unknown>> = {}) {
  const input = {
    databases: Object.fromEntries(
      NAMES.map((name) => [name, { engine: 'postgres', url: urls[name] ?? env(name.toUpperCase()) }]),
    ),
    syncs: Object.fromEntries(
      Object.entries(syncs).map(([name, { way, ...rest }]) => {
        const [sources, targets] = way.split(' → ').map((list) => list.split(' '));
        return [name, { sources, targets, ...rest }];
      }),
    ),
  };
  try {
    validateConfig(input, 'bucardo.config.ts');
  } catch (error) {
    if (error instanceof BucardoError && error.code === 'BUC-CONFIG-INVALID') return error.problems;
    throw error;
  }
  return [];
}

interface Case {
  readonly name: string;
  readonly syncs: Readonly<Record<string, SyncText>>;
  /** Path and text of each problem, in order; none if it is accepted. */
  readonly problems: readonly (readonly [path: string, text: RegExp])[];
}

const toReports = (way: string, one: string, other: string, exclude?: readonly string[]): Case['syncs'] => ({
  a: { way: 'shop → reports', tables: [one], ...(exclude === undefined ? {} : { exclude }) },
  b: { way, tables: [other] },
});

const OVERWRITE = /is written to 'reports' by sync 'a' too.* overwrite each other's rows/;
const cases: readonly Case[] = [
  {
    name: 'one table in two syncs to one target',
    syncs: toReports('shop → reports', 'public.setting', 'public.setting'),
    problems: [['syncs.b.tables[0]', OVERWRITE]],
  },
  {
    name: 'a table and a pattern that has it',
    syncs: toReports('shop → archive reports', 'public.*', 'public.setting'),
    problems: [['syncs.b.tables[0]', /\(its 'public\.\*'\).*exclude: \['public\.setting'\]/]],
  },
  {
    name: 'a pattern and a table that it has, of another source',
    syncs: toReports('crm → reports', 'public.setting', 'pub*.*'),
    problems: [
      [
        'syncs.b.tables[0]',
        /'pub\*\.\*' is written .*\(its 'public\.setting'\).*exclude: \['public\.setting'\]/,
      ],
    ],
  },
  {
    name: 'two patterns that meet',
    syncs: toReports('shop → reports', 'public.order_*', '*.*_log'),
    problems: [['syncs.b.tables[0]', /both match public\.order_log, for example/]],
  },
  {
    name: 'two patterns that cannot meet',
    syncs: toReports('shop → reports', 'public.order_*', 'public.log_*'),
    problems: [],
  },
  {
    name: 'a pattern whose sync excludes the other’s table',
    syncs: toReports('shop → reports', 'public.*', 'public.setting', ['public.setting']),
    problems: [],
  },
  {
    name: 'a pattern whose sync excludes a pattern that has all of the other’s',
    syncs: toReports('shop → reports', 'public.*', 'public.log_2*', ['public.log_*']),
    problems: [],
  },
  {
    name: 'a pattern whose sync excludes only a part of the other’s',
    syncs: toReports('shop → reports', 'public.*', 'public.log_*', ['public.log_2*']),
    problems: [['syncs.b.tables[0]', OVERWRITE]],
  },
  {
    name: 'the same tables to different targets',
    syncs: toReports('shop → archive', 'public.*', 'public.*'),
    problems: [],
  },
  {
    name: 'a cascade',
    syncs: {
      a: { way: 'shop → reports', tables: ['public.orders'] },
      b: { way: 'reports → third', tables: ['public.orders'] },
    },
    problems: [
      [
        'syncs.b.tables[0]',
        /comes to 'reports' by sync 'a', .*do not travel on: 'third' would get them at the first copy and never again; send the table to 'third' from 'shop'/,
      ],
    ],
  },
  {
    name: 'a cascade whose second sync stands first',
    syncs: {
      b: { way: 'reports → third', tables: ['public.*'] },
      a: { way: 'shop → reports archive', tables: ['public.orders'] },
    },
    problems: [
      [
        'syncs.b.tables[0]',
        /comes to 'reports' by sync 'a' \(its 'public\.orders'\).*exclude: \['public\.orders'\]/,
      ],
    ],
  },
  {
    name: 'tables of a target’s own that travel on',
    syncs: {
      a: { way: 'shop → reports', tables: ['public.*'], exclude: ['public.own_*'] },
      b: { way: 'reports → third', tables: ['public.own_*'] },
    },
    problems: [],
  },
  {
    name: 'both directions',
    syncs: {
      a: { way: 'shop → reports', tables: ['public.*'] },
      b: { way: 'reports → shop', tables: ['public.orders'] },
    },
    problems: [['syncs.b.tables[0]', /already comes to 'reports' by sync 'a' .*sent back/]],
  },
  {
    name: 'different tables in the two directions',
    syncs: {
      a: { way: 'shop → reports', tables: ['public.a*'] },
      b: { way: 'reports → shop', tables: ['public.b*'] },
    },
    problems: [],
  },
  {
    name: 'a circle of three',
    syncs: {
      a: { way: 'shop → reports', tables: ['public.*'] },
      b: { way: 'reports → third', tables: ['public.*'] },
      c: { way: 'third → shop', tables: ['public.*'] },
    },
    problems: [
      ['syncs.b.tables[0]', /comes to 'reports' by sync 'a'/],
      ['syncs.a.tables[0]', /comes to 'shop' by sync 'c'/],
      ['syncs.c.tables[0]', /comes to 'third' by sync 'b'/],
    ],
  },
  {
    name: 'a cascade beside a way around it',
    syncs: {
      a: { way: 'shop → reports third', tables: ['public.*'] },
      b: { way: 'reports → third', tables: ['public.x'] },
    },
    problems: [
      ['syncs.b.tables[0]', /is written to 'third' by sync 'a' too/],
      ['syncs.b.tables[0]', /comes to 'reports' by sync 'a'/],
    ],
  },
];

test.each(cases)('$name', ({ syncs, problems }) => {
  const found = problemsOf(syncs);
  expect(found.map(({ path }) => path)).toEqual(problems.map(([path]) => path));
  for (const [index, [, text]] of problems.entries()) expect(found[index]?.text).toMatch(text);
});

test.each([
  ['the same variable', env('A'), env('A'), true],
  ['two variables', env('A'), env('B'), false],
  ['the same secret', secret('s'), secret('s'), true],
  ['two fields of a secret', secret('s', { field: 'a' }), secret('s', { field: 'b' }), false],
  ['the same parameter', parameter('/p'), parameter('/p'), true],
  ['a variable and a parameter of one name', env('P'), parameter('P'), false],
  ['the same URL, another login', 'postgres://a@h/d', 'postgresql://b@H:5432/d?sslmode=require', true],
  ['another port', 'postgres://a@h:5432/d', 'postgres://a@h:5433/d', false],
  ['another database', 'postgres://a@h/d', 'postgres://a@h/e', false],
  ['the database named after the user', 'postgres://d@h', 'postgres://d@h/d', true],
  ['a socket', 'postgres:///d?host=/run/a', 'postgres:///d?host=/run/b', false],
])('a database that syncs know by two names is refused: %s', (_name, first, second, refused) => {
  const syncs = { a: { way: 'shop → reports', tables: ['public.*'] } };
  const found = problemsOf(syncs, { shop: first, reports: second });
  expect(found.map(({ path }) => path)).toEqual(refused ? ['databases.reports.url'] : []);
  if (refused) expect(found[0]?.text).toMatch(/is the database that 'shop' is/);
  // A name that no sync uses does no harm.
  expect(problemsOf(syncs, { shop: first, archive: second })).toEqual([]);
});

const part = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.'), minLength: 1, maxLength: 4 });
const selector = fc.record({ schema: part, table: part });
const SHORT = ['a', 'b', '.'];
const PARTS = [0, 1].reduce<readonly string[]>(
  (texts) => [...new Set([...texts, ...texts.flatMap((text) => SHORT.map((one) => text + one))])],
  SHORT,
);

test('two patterns meet exactly where some name matches both and no exclude', () => {
  fc.assert(
    fc.property(selector, selector, fc.array(selector, { maxLength: 3 }), (one, other, excludes) => {
      const [wanted, unwanted] = [[one, other], excludes].map((list) => list.map(matcherOf));
      const fits = (name: { schema: string; table: string }): boolean =>
        wanted!.every((matches) => matches(name)) && !unwanted!.some((matches) => matches(name));
      const found = commonName([one, other], excludes);
      if (found !== undefined) expect(fits(found)).toBe(true);
      else for (const schema of PARTS) for (const table of PARTS) expect(fits({ schema, table })).toBe(false);
    }),
    { numRuns: 300 },
  );
});

test('many syncs of many tables are compared at once', () => {
  const tables = (of: string): readonly string[] =>
    Array.from({ length: 2_000 }, (_, index) => `public.${of}_${index}`);
  const found = problemsOf({
    a: { way: 'shop → reports', tables: ['public.*'], exclude: [...tables('b'), ...tables('c')] },
    b: { way: 'shop → reports', tables: tables('b') },
    c: { way: 'shop → reports', tables: [...tables('c'), 'public.b_1999'] },
  });
  expect(found.map(({ path }) => path)).toEqual(['syncs.c.tables[2000]']);
});
