/** The command as people run it: a process of its own, in a folder of its own. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

interface Finished {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

const main = join(import.meta.dirname, '../../cli/main.ts');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bucardo-command-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function bucardo(...args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder, timeout: 30_000 }, (error, out, err) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ status, out, err });
    });
  });
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

const GOOD = `
import { defineConfig, env } from 'bucardo-serverless';
const target: string = 'reports';
export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: env('SHOP_URL') },
    reports: { engine: 'postgres', url: 'postgres://me@h/d' },
  },
  syncs: { orders: { sources: ['shop'], targets: [target as 'reports'], tables: ['public.*'] } },
});`;

test('init writes a configuration that is correct as it stands, without anything installed', async () => {
  const init = await bucardo('init');
  expect(init).toMatchObject({ status: 0, err: '' });
  expect(init.out).toContain('npx bucardo apply');
  const config = await bucardo('config');
  expect(config).toMatchObject({ status: 0, err: '' });
  expect(config.out).toContain('source → target');
});

test('init never overwrites a configuration, of whatever ending, unless it is forced', async () => {
  write('bucardo.config.mjs', 'export default "mine"');
  const refused = await bucardo('init');
  expect(refused.status).toBe(1);
  expect(refused.err).toMatch(
    /^BUC-FILE-NOT-WRITTEN: .*bucardo\.config\.mjs exists\n {2}What to do: .*--force/,
  );
  write('bucardo.config.ts', 'mine');
  expect((await bucardo('--config', 'bucardo.config.ts', 'init')).status).toBe(1);
  expect(readFileSync(join(folder, 'bucardo.config.ts'), 'utf8')).toBe('mine');
  expect((await bucardo('init', '--force')).status).toBe(0);
  expect(readFileSync(join(folder, 'bucardo.config.ts'), 'utf8')).toContain('defineConfig');
});

test('init tells when the folder takes no file', async () => {
  const refused = await bucardo('init', '--config', 'no/such/folder/bucardo.config.ts');
  expect(refused.status).toBe(1);
  expect(refused.err).toContain('BUC-FILE-NOT-WRITTEN');
  expect(refused.err).toContain('ENOENT');
});

test('config shows lanes as JSON, with references and never values', async () => {
  write('bucardo.config.ts', GOOD);
  const { status, out } = await bucardo('config', '--json');
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    fleet: 'bucardo',
    databases: [
      { name: 'shop', url: "env('SHOP_URL')" },
      { name: 'reports', url: 'postgres://me@h/d' },
    ],
    syncs: [{ name: 'orders', include: ['public.*'], copy: 'if-empty' }],
    lanes: [{ id: 'orders/reports', source: 'shop', destination: 'reports' }],
  });
});

test('the configuration is an ES module whatever package.json says', async () => {
  write('package.json', '{ "type": "commonjs" }');
  write('bucardo.config.ts', GOOD);
  expect(await bucardo('config')).toMatchObject({ status: 0, err: '' });
});

test('the configuration may import files beside it, and may be plain JavaScript', async () => {
  mkdirSync(join(folder, 'parts'));
  write('parts/tables.ts', "export const tables: readonly string[] = ['public.orders'];");
  write(
    'bucardo.config.mjs',
    `import { tables } from './parts/tables.ts';
     export default {
       databases: { a: { engine: 'postgres', url: 'postgres://h/a' }, b: { engine: 'postgres', url: 'postgres://h/b' } },
       syncs: { s: { sources: ['a'], targets: ['b'], tables } },
     };`,
  );
  const { status, out } = await bucardo('config');
  expect(out).toContain('public.orders');
  expect(status).toBe(0);
});

test('--config names the file, before or after the command', async () => {
  write('other.ts', GOOD);
  expect((await bucardo('config', '--config', 'other.ts')).status).toBe(0);
  expect((await bucardo('-c', join(folder, 'other.ts'), 'config')).status).toBe(0);
  const missing = await bucardo('config', '-c', 'none.ts');
  expect(missing.status).toBe(1);
  expect(missing.err).toMatch(/^BUC-CONFIG-NOT-FOUND: .*none\.ts is no file/);
});

test('without a file, all names that are looked for are told', async () => {
  const { status, out, err } = await bucardo('config');
  expect([status, out]).toEqual([1, '']);
  expect(err).toMatch(
    /^BUC-CONFIG-NOT-FOUND: .*bucardo\.config\.ts.*bucardo\.config\.mjs in \/.*\n {2}What to do: .*init/,
  );
});

test.each([
  [
    'a syntax error in TypeScript',
    'bucardo.config.ts',
    'const a: string = {\n  b: 1\n  c: 2,\n};\n',
    'line 3: SyntaxError',
  ],
  [
    'a syntax error in JavaScript',
    'bucardo.config.mjs',
    'const a = {\n  b: 1\n  c: 2,\n};\n',
    'line 3: SyntaxError',
  ],
  [
    'TypeScript that Node cannot strip',
    'bucardo.config.ts',
    '\nenum A { B }\nexport default A;',
    'line 2: SyntaxError',
  ],
  [
    'a throwing line',
    'bucardo.config.ts',
    '\n\nconst x: string | undefined = process.env.NONE;\nx.length;',
    'line 4: TypeError',
  ],
  [
    'a thrown error with a password',
    'bucardo.config.ts',
    "throw new Error('no postgres://u:hunter2@h/d');",
    'line 1: no postgres://u:***@h/d',
  ],
  ['a thrown string', 'bucardo.config.ts', "throw 'hunter2';", 'threw a string'],
  [
    'a missing package',
    'bucardo.config.ts',
    "import x from 'not-installed';\nexport default x;",
    "Cannot find package 'not-installed'",
  ],
  ['a missing file', 'bucardo.config.ts', "import x from './gone.ts';\nexport default x;", 'gone.ts'],
  [
    'an import that is not there',
    'bucardo.config.ts',
    "import { defineConfg } from 'bucardo-serverless';\nexport default defineConfg({});",
    'line 1: SyntaxError',
  ],
  ['no default export', 'bucardo.config.ts', 'export const config = {};', 'has no default export'],
  ['an undefined default export', 'bucardo.config.ts', 'export default undefined;', 'is nothing'],
  ['a function', 'bucardo.config.ts', 'export default () => ({});', 'is a function'],
])('%s is told in one line, without a stack trace', async (_name, file, text, expected) => {
  write(file, text);
  const { status, out, err } = await bucardo('config');
  expect([status, out]).toEqual([1, '']);
  const [first = '', ...rest] = err.trimEnd().split('\n');
  expect(first).toContain('BUC-CONFIG-UNREADABLE');
  expect(first).toContain(file);
  expect(first).toContain(expected);
  expect(rest).toEqual([expect.stringMatching(/^ {2}What to do: /)]);
  expect(err).not.toContain('hunter2');
});

test('a promise is a problem of the configuration', async () => {
  write('bucardo.config.ts', 'export default Promise.resolve({});');
  const { status, err } = await bucardo('config');
  expect(status).toBe(1);
  expect(err).toContain('(default export): must be an object made by defineConfig');
});

test('all problems are printed, one a line', async () => {
  write('bucardo.config.ts', "export default { databases: {}, syncs: { swap: { sources: 'a' } } };");
  const { status, err } = await bucardo('config');
  expect(status).toBe(1);
  expect(err.split('\n').filter((line) => /^ {2}(databases|syncs)/.test(line)).length).toBeGreaterThanOrEqual(
    4,
  );
});

test.each([
  [['--help'], 0, /Usage: bucardo/],
  [['help', 'init'], 0, /Example:\n {2}bucardo init/],
  [['config', '--help'], 0, /Example:/],
  [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
])('%j is answered on standard output', async (args, status, out) => {
  const finished = await bucardo(...args);
  expect(finished.status).toBe(status);
  expect(finished.out).toMatch(out);
  expect(finished.err).toBe('');
});

test.each([[[]], [['confg']], [['config', '--jsn']], [['init', 'extra']], [['--config']]])(
  '%j is wrong use: exit status 2 and help on standard error',
  async (args) => {
    const finished = await bucardo(...args);
    expect(finished.status).toBe(2);
    expect(finished.out).toBe('');
    expect(finished.err).toMatch(/Usage: bucardo|error: /);
  },
);
