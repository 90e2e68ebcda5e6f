/** The demo as somebody runs it, shortened: what it shows, what it says at the end, and that nothing of it is left behind. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { allEqual, compareDatabases } from '../../examples/demo/compare.ts';
import { type Connection, connect, withConnection } from '../../shared/postgres/connection.ts';
import { createDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const main = join(import.meta.dirname, '../../examples/demo/main.ts');
const RUN_TIMEOUT_MS = 120_000;

interface Demo {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** The temporary folder that is its alone. */
  readonly folder: string;
  output(): string;
  /** Resolves when this text was printed. */
  says(text: string): Promise<unknown>;
  /** Resolves to the exit status when the process has ended and its output is complete. */
  readonly ended: Promise<number | null>;
}

const demos: Demo[] = [];

function startDemo(...args: readonly string[]): Demo {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-demo-test-'));
  // The servers may run as somebody else, who must get in.
  chmodSync(folder, 0o755);
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const demo: Demo = {
    child,
    folder,
    output: () => output,
    says: (text) =>
      waitFor(() => output.includes(text) || child.exitCode !== null, RUN_TIMEOUT_MS, text).then(() =>
        expect(output).toContain(text),
      ),
    ended,
  };
  demos.push(demo);
  return demo;
}

afterEach(async () => {
  for (const { child, folder, ended } of demos.splice(0)) {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
});

/** What is in the demo's temporary folder, but for the servers' binaries, which are kept for the next start. */
function leftFiles({ folder }: Demo): readonly string[] {
  return readdirSync(folder).filter((name) => !/^bucardo-postgres-\d+-\w+$/.test(name));
}

/** Command lines of processes that use the demo's temporary folder. */
function leftProcesses({ folder }: Demo): readonly string[] {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(join('/proc', pid, 'cmdline'), 'utf8').replaceAll('\0', ' ');
        return command.includes(folder) ? [command] : [];
      } catch {
        return [];
      }
    });
}

/** URLs of the demo's running servers: the shop, which has schema bucardo, and its targets. */
async function serversOf({ folder }: Demo): Promise<{ readonly shop: string; readonly targets: string[] }> {
  const urls = readdirSync(folder)
    .map((name) => join(folder, name, 'data', 'postmaster.pid'))
    .filter((file) => existsSync(file))
    .map((file) => `postgres://postgres@127.0.0.1:${readFileSync(file, 'utf8').split('\n')[3]}/postgres`);
  const captures = await Promise.all(
    urls.map((url) =>
      asked(url, async (db) => {
        const { captures } = await db.row<{ captures: boolean }>(
          `select to_regnamespace('bucardo') is not null as captures`,
        );
        return captures;
      }),
    ),
  );
  return {
    shop: urls.find((_, index) => captures[index] === true) ?? '',
    targets: urls.filter((_, index) => captures[index] === false),
  };
}

async function asked<Result>(url: string, body: (db: Connection) => Promise<Result>): Promise<Result> {
  return await withConnection({ database: 'demo', url, purpose: 'test' }, body);
}

interface Line {
  readonly archive: string;
  readonly archiveDelivered: number;
  readonly reports: string;
  readonly reportsDelivered: number;
}

/** The lines that show both lanes, in order. */
function laneLines(output: string): readonly Line[] {
  const lane = (name: string) =>
    String.raw`everything/${name} (\w+), [\d,]+ pending, lag [\d.]+ \w+, ([\d,]+) delivered`;
  const line = new RegExp(`${lane('reports')} · ${lane('archive')}`, 'g');
  return [...output.matchAll(line)].map(
    ([, reports = '', reportsRows = '', archive = '', archiveRows = '']) => ({
      reports,
      archive,
      reportsDelivered: Number(reportsRows.replaceAll(',', '')),
      archiveDelivered: Number(archiveRows.replaceAll(',', '')),
    }),
  );
}

test(
  'the demo shows an outage that the other lane does not notice, and ends with equal rows everywhere',
  async () => {
    const demo = startDemo('--seconds', '9');
    const status = await demo.ended;
    const output = demo.output();
    expect(output).toMatch(
      /EQUAL: all 1\d\d,\d{3} rows are the same at the source and at reports and archive\./,
    );
    expect(output).not.toMatch(/DIFFERS|NOT/);
    expect(status).toBe(0);

    expect(output).toMatch(/the notifier sends 2 kicks to the SQS queue/);
    expect(output).toMatch(/the replicate handler has run lane everything\/reports/);
    for (const table of ['customers', 'order_lines', 'orders', 'products']) {
      expect(output).toMatch(new RegExp(`public\\.${table} +[\\d,]+ +equal +equal`));
    }

    const [, outage = ''] = output.split('Now the server of archive is stopped');
    const during = laneLines(outage.split('Now archive is started again')[0] ?? '');
    const [first, last] = [during[0], during.at(-1)];
    expect(during.length).toBeGreaterThan(1);
    expect(during.map(({ reports }) => reports)).not.toContain('failing');
    expect(last?.archive).toBe('failing');
    expect(last?.archiveDelivered).toBe(first?.archiveDelivered);
    expect(last?.reportsDelivered).toBeGreaterThan(first?.reportsDelivered ?? 0);
    const lines = laneLines(output);
    expect(lines.at(-1)).toMatchObject({ archive: 'level', reports: 'level' });
    expect(lines.at(-1)?.archiveDelivered).toBe(lines.at(-1)?.reportsDelivered);

    const file = /is in (.*events\.jsonl)/.exec(output)?.[1] ?? '';
    const events = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(events.map((line) => (JSON.parse(line) as { event: string }).event)).toContain(
      'lane.run.completed',
    );
    expect(leftFiles(demo)).toEqual([expect.stringMatching(/^bucardo-demo-/)]);
    expect(leftProcesses(demo)).toEqual([]);
  },
  RUN_TIMEOUT_MS,
);

test(
  'a row that a target should not have makes the verdict unequal; kept running, it replicates until it is interrupted',
  async () => {
    const demo = startDemo('--seconds', '4', '--keep', '--verbose');
    await demo.says('6  Four applications write');
    const { shop, targets } = await serversOf(demo);
    expect(targets).toHaveLength(2);
    await asked(targets[0] ?? '', (db) =>
      db.run(
        `insert into public.customers (id, email, name) values (999999999, 'not at the shop', 'Nobody')`,
      ),
    );
    await demo.says('Stop it with Ctrl-C');
    const output = demo.output();
    expect(output).toMatch(/public\.customers .*DIFFERS/);
    expect(output).toMatch(/public\.products +2,000 +equal +equal/);
    expect(output).toContain('NOT EQUAL');
    expect(output).toContain('"event":"lane.run.completed"');
    for (const url of [shop, ...targets]) expect(output).toContain(url);

    await asked(shop, (db) =>
      db.run(`update public.products set title = 'changed by hand' where sku like 'SKU-00001%'`),
    );
    for (const url of targets) {
      await asked(url, (db) =>
        waitFor(
          async () =>
            (await db.rows(`select from public.products where title = 'changed by hand'`)).length === 1,
        ),
      );
    }
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(1);
    expect(leftFiles(demo)).toEqual([]);
    expect(leftProcesses(demo)).toEqual([]);
  },
  RUN_TIMEOUT_MS,
);

test.for([
  ['while its servers start', '1  Starting', 'SIGINT'],
  ['while the shop is filled', '2  Filling', 'SIGTERM'],
  ['while a target is stopped', 'Now the server of archive is stopped', 'SIGINT'],
] as const)(
  'interrupted %s the demo leaves no server and no folder behind',
  { timeout: RUN_TIMEOUT_MS },
  async ([, text, signal]) => {
    const demo = startDemo('--seconds', '12');
    await demo.says(text);
    // A shell may pass the same Ctrl-C on twice.
    demo.child.kill(signal);
    demo.child.kill(signal);
    expect(await demo.ended).toBe(130);
    expect(demo.output()).toContain('Cleaning up');
    expect(leftFiles(demo)).toEqual([]);
    expect(leftProcesses(demo)).toEqual([]);
  },
);

test('options that it does not have end the demo with status 2 before anything starts', async () => {
  const demo = startDemo('--second', '3');
  expect(await demo.ended).toBe(2);
  expect(demo.output()).toContain('--seconds N');
  expect(leftFiles(demo)).toEqual([]);
});

test('the comparison sees a value, a missing row, a row too many and a doubled row, and nothing else', async () => {
  const rows = `create table a (id int primary key, v numeric); insert into a values (1, 1.0), (2, null), (3, 'NaN');
    create table b (v text); insert into b values ('x'), ('y'), (null);`;
  const east = await createDatabase(rows);
  const verdictWith = async (sql: string): Promise<readonly string[]> => {
    const west = await createDatabase(`${rows} ${sql}`);
    const [source, target] = [await connectTo(east.url), await connectTo(west.url)];
    try {
      const verdicts = await compareDatabases(source, [target]);
      expect(verdicts.map(({ table }) => table)).toEqual(['public.a', 'public.b']);
      const different = verdicts.filter(({ targets }) => targets[0]?.equal === false);
      expect(allEqual(verdicts)).toBe(different.length === 0);
      return different.map(({ table }) => table);
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  };
  expect(await verdictWith('')).toEqual([]);
  // Another order on disk is no difference.
  expect(await verdictWith(`delete from a where id = 1; insert into a values (1, 1.0)`)).toEqual([]);
  expect(await verdictWith(`update a set v = 1.00 where id = 1`)).toEqual(['public.a']);
  expect(await verdictWith(`update a set v = 0 where id = 2`)).toEqual(['public.a']);
  expect(await verdictWith(`delete from a where id = 3`)).toEqual(['public.a']);
  expect(await verdictWith(`insert into a values (4, 4)`)).toEqual(['public.a']);
  expect(await verdictWith(`insert into b values ('x')`)).toEqual(['public.b']);
  expect(await verdictWith(`update b set v = 'x' where v = 'y'`)).toEqual(['public.b']);
});

async function connectTo(url: string): Promise<Connection> {
  return await connect({ database: 'compared', url, purpose: 'test' });
}
