/** Every mistake in a configuration is reported at its path, with what to do, and together with all the others. */
import { expect, test } from 'vitest';
import { secret } from '../../shared/config/index.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

type Loose = Record<string, unknown>;

const url = { kind: 'env', name: 'ANY_URL' };
const postgres = { engine: 'postgres', url };
const at = (name: string): Loose => ({ engine: 'postgres', url: { kind: 'env', name } });
const databases: Loose = { shop: at('SHOP_URL'), reports: at('REPORTS_URL'), archive: at('ARCHIVE_URL') };
const orders: Loose = { sources: ['shop'], targets: ['reports'], tables: ['public.orders'] };

const withSync = (changes: Loose): Loose => ({ databases, syncs: { orders: { ...orders, ...changes } } });
const withTable = (table: unknown): Loose => withSync({ tables: [table] });
const withDatabase = (database: unknown): Loose => ({
  databases: { ...databases, shop: database },
  syncs: { orders },
});
const withUrl = (value: unknown): Loose => withDatabase({ engine: 'postgres', url: value });
const withSyncs = (syncs: Loose): Loose => ({ databases, syncs });
const without = (object: Loose, key: string): Loose =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));

function problemsOf(input: unknown): readonly { path: string; text: string }[] {
  try {
    validateConfig(input, 'bucardo.config.ts');
  } catch (error) {
    if (error instanceof BucardoError && error.code === 'BUC-CONFIG-INVALID') return error.problems;
    throw error;
  }
  return [];
}

const mistakes: readonly (readonly [name: string, input: unknown, path: string, text: RegExp])[] = [
  ['null', null, '(default export)', /must be an object made by defineConfig.*not null/],
  ['a promise', Promise.resolve({}), '(default export)', /not a promise/],
  ['a list', [], '(default export)', /not a list/],
  ['an unknown key at the top', { ...withSync({}), sync: {} }, 'sync', /did you mean 'syncs'/],
  ['no databases', without(withSync({}), 'databases'), 'databases', /is missing; write databases/],
  ['no syncs', without(withSync({}), 'syncs'), 'syncs', /is missing; write syncs/],
  ['empty databases', { databases: {}, syncs: {} }, 'databases', /is empty; write/],
  ['empty syncs', withSyncs({}), 'syncs', /is empty; write/],
  [
    'databases as a Map',
    { databases: new Map(), syncs: { orders } },
    'databases',
    /not an object of class Map/,
  ],
  ['a bad fleet name', { ...withSync({}), fleet: 'my fleet' }, 'fleet', /letters, digits and hyphens/],
  ['a long fleet name', { ...withSync({}), fleet: 'f'.repeat(41) }, 'fleet', /41 characters; use at most 40/],
  [
    'a bad database name',
    { databases: { ...databases, 'my-db': postgres }, syncs: { orders } },
    'databases["my-db"]',
    /is no valid name; begin with a letter/,
  ],
  [
    'a long database name',
    { databases: { ...databases, ['d'.repeat(64)]: postgres }, syncs: { orders } },
    `databases.${'d'.repeat(64)}`,
    /64 characters; use at most 63/,
  ],
  [
    'a database that is a string',
    withDatabase('postgres://h/d'),
    'databases.shop',
    /must be an object such as .*not a string/,
  ],
  ['no engine', withDatabase({ url }), 'databases.shop.engine', /is missing; write engine: 'postgres'/],
  [
    'a mistyped engine',
    withDatabase({ engine: 'postgers', url }),
    'databases.shop.engine',
    /no known engine; write engine: 'postgres'/,
  ],
  [
    'another name of Postgres',
    withDatabase({ engine: 'postgresql', url }),
    'databases.shop.engine',
    /no known engine; write engine: 'postgres'/,
  ],
  ...['mysql', 'mariadb', 'oracle', 'sqlite', 'mongodb', 'redis'].map(
    (engine) =>
      [
        `engine ${engine}`,
        withDatabase({ engine, url }),
        'databases.shop.engine',
        new RegExp(`${engine}, which is not supported yet`),
      ] as const,
  ),
  [
    'an unheard-of engine',
    withDatabase({ engine: 'cobol', url }),
    'databases.shop.engine',
    /the only one so far/,
  ],
  [
    'no url',
    withDatabase({ engine: 'postgres' }),
    'databases.shop.url',
    /is missing; write url: env\('NAME'\)/,
  ],
  [
    'an unset process.env as url',
    withUrl(undefined),
    'databases.shop.url',
    /process\.env\.NAME is read too early/,
  ],
  [
    'a url with a password',
    withUrl('postgres://u:hunter2@h/d'),
    'databases.shop.url',
    /holds a password.*env\('NAME'\)/,
  ],
  [
    'a url with a password that breaks it',
    withUrl('postgres://u:hun/ter#2@h:x/d'),
    'databases.shop.url',
    /holds a password/,
  ],
  [
    'a url with a slash in its password',
    withUrl('postgres://u:12/hunter2@h/d'),
    'databases.shop.url',
    /holds a password/,
  ],
  [
    'a url with a password as parameter',
    withUrl('postgres://u@h/d?password=hunter2'),
    'databases.shop.url',
    /holds a password/,
  ],
  [
    'an unreadable url',
    withUrl('host=h dbname=d'),
    'databases.shop.url',
    /cannot be read as a URL; write postgres:/,
  ],
  ['a url of another kind', withUrl('https://h/d'), 'databases.shop.url', /must begin with postgres:/],
  ['a number as url', withUrl(5432), 'databases.shop.url', /not a number/],
  [
    'a value in env()',
    withUrl({ kind: 'env', name: 'postgres://u:hunter2@h/d' }),
    'databases.shop.url',
    /takes the variable's name/,
  ],
  [
    'a value in secret()',
    withUrl(secret('postgres://u:hunter2@h/d')),
    'databases.shop.url',
    /names no secret/,
  ],
  [
    'an empty secret field',
    withUrl(secret('shop', { field: '' })),
    'databases.shop.url',
    /field that is no name/,
  ],
  [
    'a reference of unknown kind',
    withUrl({ kind: 'vault', name: 'x' }),
    'databases.shop.url',
    /is no reference/,
  ],
  [
    'an unknown wake',
    withDatabase({ ...postgres, wake: 'pol' }),
    'databases.shop.wake',
    /did you mean 'poll'/,
  ],
  [
    'parts of a connection',
    withDatabase({ ...postgres, host: 'h' }),
    'databases.shop.host',
    /write 'url', one URL/,
  ],
  [
    'a password as key',
    withDatabase({ ...postgres, password: 'hunter2' }),
    'databases.shop.password',
    /no password may be in the file/,
  ],
  ['a bad sync name', withSyncs({ '1st': orders }), 'syncs["1st"]', /is no valid name/],
  ...['pushdelta', 'fullcopy', 'Swap', 'SYNC'].map(
    (name) =>
      [
        `the reserved sync name ${name}`,
        withSyncs({ [name]: orders }),
        `syncs.${name}`,
        /reserved word/,
      ] as const,
  ),
  ['a sync that is a list', withSyncs({ orders: ['shop'] }), 'syncs.orders', /not a list/],
  ['a mistyped key', withSync({ targest: [] }), 'syncs.orders.targest', /did you mean 'targets'/],
  ["Bucardo's word for a key", withSync({ onetimecopy: 2 }), 'syncs.orders.onetimecopy', /write 'copy'/],
  [
    'an unknown key unlike any other',
    withSync({ zzzzzzzz: 1 }),
    'syncs.orders.zzzzzzzz',
    /known here: sources, targets/,
  ],
  [
    'no sources',
    withSyncs({ orders: without(orders, 'sources') }),
    'syncs.orders.sources',
    /is missing; write sources/,
  ],
  [
    'no targets',
    withSyncs({ orders: without(orders, 'targets') }),
    'syncs.orders.targets',
    /is missing; write targets/,
  ],
  [
    'no tables',
    withSyncs({ orders: without(orders, 'tables') }),
    'syncs.orders.tables',
    /is missing; write tables/,
  ],
  ['empty sources', withSync({ sources: [] }), 'syncs.orders.sources', /is empty/],
  ['empty targets', withSync({ targets: [] }), 'syncs.orders.targets', /is empty/],
  ['empty tables', withSync({ tables: [] }), 'syncs.orders.tables', /is empty/],
  [
    'one source as a string',
    withSync({ sources: 'shop' }),
    'syncs.orders.sources',
    /must be a list.*not a string/,
  ],
  [
    'a database that is no name',
    withSync({ targets: [{}] }),
    'syncs.orders.targets[0]',
    /must be a database's name, not an object/,
  ],
  [
    'several sources',
    withSync({ sources: ['shop', 'archive'] }),
    'syncs.orders.sources',
    /not supported yet \(multi-master/,
  ],
  [
    'an unknown target',
    withSync({ targets: ['reports', 'report'] }),
    'syncs.orders.targets[1]',
    /no database 'report'; did you mean 'reports'/,
  ],
  [
    'an unknown source',
    withSync({ sources: ['erp'] }),
    'syncs.orders.sources[0]',
    /no database 'erp'; add it to databases or use one of: shop, reports, archive/,
  ],
  ['a target that is the source', withSync({ targets: ['shop'] }), 'syncs.orders.targets[0]', /into itself/],
  [
    'a target twice',
    withSync({ targets: ['reports', 'reports'] }),
    'syncs.orders.targets[1]',
    /name it once/,
  ],
  ['a table without schema', withTable('orders'), 'syncs.orders.tables[0]', /write 'schema\.table'/],
  ['a table with database', withTable('shop.public.orders'), 'syncs.orders.tables[0]', /more than one dot/],
  [
    'an SQL wildcard',
    withTable('public.order%'),
    'syncs.orders.tables[0]',
    /use \* for any run of characters/,
  ],
  ['a regular expression', withTable('public.(a|b)'), 'syncs.orders.tables[0]', /is no table's name/],
  ['an unclosed quote', withTable('public."orders'), 'syncs.orders.tables[0]', /is no table's name/],
  ['a star in quotes', withTable('public."or*"'), 'syncs.orders.tables[0]', /\* in double quotes/],
  [
    'a name longer than Postgres has',
    withTable(`public.${'ü'.repeat(32)}`),
    'syncs.orders.tables[0]',
    /more than 63 bytes/,
  ],
  ['a system schema', withTable('pg_catalog.pg_class'), 'syncs.orders.tables[0]', /never replicated/],
  ["Bucardo's own schema", withTable('bucardo.*'), 'syncs.orders.tables[0]', /never replicated/],
  ['a table that is a number', withTable(7), 'syncs.orders.tables[0]', /not a number/],
  [
    'a table object without table',
    withTable({ capture: 'row' }),
    'syncs.orders.tables[0].table',
    /is missing; write table:/,
  ],
  [
    'a table object with a bad name',
    withTable({ table: 'orders' }),
    'syncs.orders.tables[0].table',
    /has no schema/,
  ],
  [
    'an unknown key of a table',
    withTable({ table: 'public.a', colums: [] }),
    'syncs.orders.tables[0].colums',
    /did you mean 'columns'/,
  ],
  [
    'columns',
    withTable({ table: 'public.a', columns: ['id'] }),
    'syncs.orders.tables[0].columns',
    /not supported yet/,
  ],
  [
    'columns of the wrong shape',
    withTable({ table: 'public.a', columns: 'id' }),
    'syncs.orders.tables[0].columns',
    /must be a list of columns' names/,
  ],
  [
    'as',
    withTable({ table: 'public.a', as: { reports: 'b' } }),
    'syncs.orders.tables[0].as',
    /not supported yet/,
  ],
  [
    'as of the wrong shape',
    withTable({ table: 'public.a', as: 3 }),
    'syncs.orders.tables[0].as',
    /must be a name/,
  ],
  [
    'where',
    withTable({ table: 'public.a', where: 'x > 1' }),
    'syncs.orders.tables[0].where',
    /not supported yet/,
  ],
  [
    'where of the wrong shape',
    withTable({ table: 'public.a', where: () => true }),
    'syncs.orders.tables[0].where',
    /must be an SQL condition as text, not a function/,
  ],
  [
    'an unknown capture',
    withTable({ table: 'public.a', capture: 'statement' }),
    'syncs.orders.tables[0].capture',
    /must be one of 'row'/,
  ],
  [
    'a table twice',
    withSync({ tables: ['public.a', { table: '"public"."a"' }] }),
    'syncs.orders.tables[1]',
    /'public\.a' is in the list already/,
  ],
  [
    'a table that is excluded',
    withSync({ exclude: ['public.orders'] }),
    'syncs.orders.tables[0]',
    /never be replicated/,
  ],
  [
    'exclude as a string',
    withSync({ exclude: 'public.a' }),
    'syncs.orders.exclude',
    /must be a list.*not a string/,
  ],
  ['a malformed exclude', withSync({ exclude: ['log_*'] }), 'syncs.orders.exclude[0]', /has no schema/],
  [
    'an exclude that is an object',
    withSync({ exclude: [{ table: 'public.a' }] }),
    'syncs.orders.exclude[0]',
    /must be 'schema\.table', not an object/,
  ],
  [
    'no schedule expression',
    withSync({ schedule: '5 minutes' }),
    'syncs.orders.schedule',
    /is no schedule; write 'rate\(5 minutes\)'/,
  ],
  ['a rate of zero', withSync({ schedule: 'rate(0 minutes)' }), 'syncs.orders.schedule', /rate of zero/],
  [
    'a plural for one',
    withSync({ schedule: 'rate(1 minutes)' }),
    'syncs.orders.schedule',
    /write 'rate\(1 minute\)'/,
  ],
  [
    'a singular for many',
    withSync({ schedule: 'rate(5 hour)' }),
    'syncs.orders.schedule',
    /write 'rate\(5 hours\)'/,
  ],
  [
    'a rate in seconds',
    withSync({ schedule: 'rate(30 seconds)' }),
    'syncs.orders.schedule',
    /minute\(s\), hour\(s\) or day\(s\)/,
  ],
  [
    'a five-field cron',
    withSync({ schedule: 'cron(0 3 * * *)' }),
    'syncs.orders.schedule',
    /has 5 fields; EventBridge's cron has six/,
  ],
  [
    'a cron without ?',
    withSync({ schedule: 'cron(0 3 * * * *)' }),
    'syncs.orders.schedule',
    /\? in exactly one of/,
  ],
  [
    'a cron out of range',
    withSync({ schedule: 'cron(60 3 * * ? *)' }),
    'syncs.orders.schedule',
    /minutes field that must lie in 0–59/,
  ],
  [
    'a cron that never comes',
    withSync({ schedule: 'cron(0 3 31 FEB ? *)' }),
    'syncs.orders.schedule',
    /day that no calendar has/,
  ],
  [
    'autokick as text',
    withSync({ autokick: 'yes' }),
    'syncs.orders.autokick',
    /must be true or false, not a string/,
  ],
  ['an unknown copy policy', withSync({ copy: 'if_empty' }), 'syncs.orders.copy', /did you mean 'if-empty'/],
  ['no batch', withSync({ batchRows: 0 }), 'syncs.orders.batchRows', /whole number from 1 to 1000000/],
  ['a huge batch', withSync({ batchRows: 1e9 }), 'syncs.orders.batchRows', /whole number from 1 to 1000000/],
  ['a batch of text', withSync({ batchRows: '5000' }), 'syncs.orders.batchRows', /whole number/],
  ['conflict', withSync({ conflict: 'latest' }), 'syncs.orders.conflict', /not supported yet/],
  ['hooks', withSync({ hooks: {} }), 'syncs.orders.hooks', /not supported yet/],
  [
    'two syncs that write one table',
    withSyncs({ orders, again: { ...orders, sources: ['archive'] } }),
    'syncs.again.tables[0]',
    /written to 'reports' by sync 'orders' too, and they would overwrite/,
  ],
  [
    'two syncs in opposite directions',
    withSyncs({ orders, back: { ...orders, sources: ['reports'], targets: ['shop'] } }),
    'syncs.back.tables[0]',
    /both directions need conflict handling/,
  ],
];

test('there are far more kinds of mistakes than the twenty-five that are promised', () => {
  expect(new Set(mistakes.map(([, , path, text]) => `${path} ${text}`)).size).toBeGreaterThan(60);
});

test.each(mistakes)('%s is refused at its path, with what to do', (_name, input, path, text) => {
  const found = problemsOf(input);
  expect(found.filter((problem) => problem.path === path).map((problem) => problem.text)).toContainEqual(
    expect.stringMatching(text),
  );
});

test('no mistake is told with the password that is in it', () => {
  expect(JSON.stringify(mistakes.map(([, input]) => problemsOf(input)))).not.toMatch(/hunter|ter#2/);
});

test('all problems come in one error, one line each, with their paths', () => {
  const input = {
    databses: {},
    databases: { ...databases, 'a-b': { engine: 'mysql', url: 'x' } },
    syncs: {
      orders: { ...orders, targets: ['report'], copy: 'often', tables: ['orders', 'public.a', 'public.a'] },
      swap: { ...orders, schedule: 'rate(1 minutes)' },
    },
  };
  const paths = problemsOf(input).map(({ path }) => path);
  expect(paths.toSorted()).toEqual(
    [
      'databses',
      'databases["a-b"]',
      'databases["a-b"].engine',
      'databases["a-b"].url',
      'syncs.orders.targets[0]',
      'syncs.orders.copy',
      'syncs.orders.tables[0]',
      'syncs.orders.tables[2]',
      'syncs.swap',
      'syncs.swap.schedule',
    ].toSorted(),
  );
  const error = new BucardoError('BUC-CONFIG-INVALID', { problems: problemsOf(input) });
  for (const path of paths) expect(error.toText()).toContain(`\n  ${path}: `);
  expect(error.with({ sync: 'orders' }).problems).toHaveLength(paths.length);
});

test('a correct configuration becomes a fleet with every default filled in', () => {
  const fleet = validateConfig(withSync({ schedule: 'cron(0  3 ? *  MON-FRI *)' }), 'bucardo.config.ts');
  expect(fleet.name).toBe('bucardo');
  const shop = { name: 'shop', ...at('SHOP_URL'), wake: 'auto' };
  expect(fleet.databases.get('shop')).toEqual(shop);
  expect(fleet.syncs.get('orders')).toEqual({
    name: 'orders',
    source: 'shop',
    targets: ['reports'],
    include: [{ schema: 'public', table: 'orders', capture: 'auto' }],
    exclude: [],
    schedule: 'cron(0 3 ? * MON-FRI *)',
    autokick: true,
    copy: 'if-empty',
    batchRows: 100_000,
  });
});

test('what a person says replaces the defaults', () => {
  const fleet = validateConfig(
    {
      fleet: 'shop-eu',
      databases: { ...databases, shop: { ...postgres, wake: 'poll' } },
      syncs: {
        orders: {
          ...orders,
          tables: ['"Odd Schema"."Odd.Table"', { table: 'public.*', capture: 'row' }],
          exclude: ['public.log_*'],
          autokick: false,
          copy: 'never',
          batchRows: 7,
        },
      },
    },
    'bucardo.config.ts',
  );
  expect(fleet.name).toBe('shop-eu');
  expect(fleet.databases.get('shop')?.wake).toBe('poll');
  expect(fleet.syncs.get('orders')).toMatchObject({
    include: [
      { schema: 'Odd Schema', table: 'Odd.Table', capture: 'auto' },
      { schema: 'public', table: '*', capture: 'row' },
    ],
    exclude: [{ schema: 'public', table: 'log_*' }],
    autokick: false,
    copy: 'never',
    batchRows: 7,
  });
});

test('two syncs may send one table to different targets, and a database may be unused', () => {
  expect(problemsOf(withSyncs({ orders, more: { ...orders, targets: ['archive'] } }))).toEqual([]);
});

test('a plain URL without a password is accepted, also for a socket', () => {
  for (const plain of [
    'postgres://u@h:5432/d',
    'postgres://h:5432/d?application_name=a@b',
    'postgresql://h/d?sslmode=require',
    'postgres:///d?host=/run/postgresql',
  ]) {
    expect(problemsOf(withUrl(plain))).toEqual([]);
  }
});

test('the longest names make a message group that SQS accepts', () => {
  const long = 'n'.repeat(63);
  const fleet = validateConfig(
    {
      databases: { shop: at('SHOP_URL'), [long]: postgres },
      syncs: { [long]: { ...orders, targets: [long] } },
    },
    'bucardo.config.ts',
  );
  expect(`${[...fleet.syncs.keys()][0]}/${long}`.length).toBeLessThanOrEqual(128);
});
