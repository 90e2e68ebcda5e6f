/**
 * The commands of the README do what it says. Its two long commands (demo and tests) are run by the gate; the five-minute
 * start is run here as it is written, with two real databases.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { compareDatabases } from '../../examples/demo/compare.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { commandsOf } from '../support/commands-of.ts';
import { createDatabase, inDatabase } from '../support/database.ts';

const root = join(import.meta.dirname, '../..');
const GATE_COMMANDS = ['npm install && npm run demo', 'npm install && npm test'];
const TIMEOUT_MS = 240_000;

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const commands = commandsOf('README.md');
const start = commands.filter((command) => !GATE_COMMANDS.includes(command));

test('the README has the two commands that the gate runs on a clean clone', () => {
  expect(commands.filter((command) => GATE_COMMANDS.includes(command))).toEqual(GATE_COMMANDS);
  const gate = readFileSync(join(root, '.ci/run'), 'utf8');
  for (const command of GATE_COMMANDS) expect(gate).toContain(`bash -c '${command}'`);
});

test('what the README shows of the cloud is in the document on deploying, whose commands run on LocalStack', () => {
  const [, section = ''] = /^## In the cloud\n([\s\S]*?)^## /m.exec(readme) ?? [];
  const shown = [...section.matchAll(/^npx .*$/gm)].map(([command]) => command);
  expect(shown.length).toBeGreaterThan(2);
  expect(commandsOf('docs/5-deploying.md')).toEqual(expect.arrayContaining(shown));
});

test('every file that the README and the documents link to exists', () => {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#]+?)(?:#[^)]*)?\)/g)].map(([, link = '']) => link);
    const missing = links.filter(
      (link) => !/^https?:/.test(link) && !existsSync(join(root, dirname(page), link)),
    );
    expect({ page, missing }).toEqual({ page, missing: [] });
  }
});

test('every headline that a document links to exists', () => {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, link = '', anchor = ''] of text.matchAll(/\]\(([^)#:]*)#([^)]+)\)/g)) {
      const target = link === '' ? join(root, page) : join(root, dirname(page), link);
      const anchors = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      );
      expect(anchors, `${page} links to ${link}#${anchor}`).toContain(anchor);
    }
  }
});

/** What a person does between the commands: real URLs, and a second terminal while `dev` runs in the first. */
function asScript(): string {
  const dev = `npx bucardo dev > dev.out 2> dev.err &
    dev=$!
    until grep -q ready dev.out; do kill -0 "$dev" || { cat dev.err; exit 1; }; sleep 0.1; done`;
  // A shell lets its background processes ignore Ctrl-C, and npx would not pass it on.
  const stop = `kill -TERM "$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' .bucardo/dev.json)"`;
  return [
    'set -e',
    `stop() { ${stop}; }`,
    'trap stop ERR',
    ...start.map((command) => {
      if (/^export (SOURCE|TARGET)_URL=postgres:/.test(command)) return `: ${command.replace(/=.*/, '')}`;
      if (command === 'npx bucardo dev') return dev;
      if (command === 'npx bucardo uninstall') return `stop\nwait "$dev"\n${command}`;
      return command;
    }),
  ].join('\n');
}

test(
  'the five-minute start replicates from one database to another and comes off the source again',
  async () => {
    const tables = `create table customers (id int primary key, name text);
      create table orders (id int primary key, customer_id int references customers, total numeric);`;
    const source = await createDatabase(
      `${tables} insert into customers select n, 'c' || n from generate_series(1, 100) n;
       insert into orders select n, 1 + n % 100, n / 3.0 from generate_series(1, 1000) n`,
    );
    const target = await createDatabase(tables);
    const folder = mkdtempSync(join(tmpdir(), 'bucardo-readme-'));
    try {
      const inherited = Object.entries(process.env).filter(
        ([name]) => !/^npm_|^(NODE_OPTIONS|VITEST)/i.test(name),
      );
      const { status, stdout, stderr } = spawnSync('bash', ['-c', asScript()], {
        cwd: root,
        env: {
          ...Object.fromEntries(inherited),
          PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
          TMPDIR: folder,
          SOURCE_URL: source.url,
          TARGET_URL: target.url,
          // Servers and a Node of its own are for the demo: hundreds of megabytes that the start does not need.
          npm_config_omit: 'optional',
          npm_config_prefer_offline: 'true',
        },
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
      });
      expect(status, `${stdout}\n${stderr}`).toBe(0);
      expect(stdout).toContain('Wrote bucardo.config.ts');
      expect(stdout).toMatch(/main\/target +(level|copying|behind)/);
      expect(stdout).toContain('main/target done');
      expect(stdout).toContain('nothing of ours is left');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    const verdicts = await withConnection({ database: 'source', url: source.url, purpose: 'test' }, (from) =>
      withConnection({ database: 'target', url: target.url, purpose: 'test' }, (to) =>
        compareDatabases(from, [to]),
      ),
    );
    expect(verdicts.map(({ table, targets }) => [table, targets[0]?.rows, targets[0]?.equal])).toEqual([
      ['public.customers', 100, true],
      ['public.orders', 1000, true],
    ]);
    await inDatabase(source, async (db) => {
      expect(await db.rows(`select from pg_namespace where nspname = 'bucardo'`)).toEqual([]);
    });
  },
  TIMEOUT_MS,
);
