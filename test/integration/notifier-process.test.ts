/** The notifier as it is deployed: its own process, a configuration file, an SQS queue, signals. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../shared/local/postgres-server.ts';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { createDatabase, inDatabase } from '../support/database.ts';
import { applyTables } from '../support/notifying.ts';
import { waitFor } from '../support/wait-for.ts';

const ROOT = join(import.meta.dirname, '../..');
const CONFIG = `
import { defineConfig, env } from '${ROOT}/shared/config/index.ts';
export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: env('SHOP_URL') },
    reports: { engine: 'postgres', url: env('REPORTS_URL') },
  },
  syncs: { all: { sources: ['shop'], targets: ['reports'], tables: ['public.orders'] } },
});
`;

interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly exit: Promise<number | null>;
  readonly output: () => string;
  readonly errors: () => string;
}

const processes: Running[] = [];
const folders: string[] = [];
let sqs: LocalSqs | undefined;

afterEach(async () => {
  for (const { child, exit } of processes.splice(0)) {
    child.kill('SIGKILL');
    await exit;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  await sqs?.close();
  sqs = undefined;
});

function run(environment: Readonly<Record<string, string>>): Running {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-notifier-'));
  folders.push(folder);
  writeFileSync(join(folder, 'bucardo.config.ts'), CONFIG);
  const child = spawn(process.execPath, [join(ROOT, 'notifier/main.ts')], {
    cwd: folder,
    env: { PATH: process.env['PATH'], ...environment },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (errors += chunk));
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const running = { child, exit, output: () => output, errors: () => errors };
  processes.push(running);
  return running;
}

async function environmentFor(shopUrl: string): Promise<Readonly<Record<string, string>>> {
  sqs = await startLocalSqs();
  return {
    SHOP_URL: shopUrl,
    REPORTS_URL: 'postgres://127.0.0.1:1/reports',
    BUCARDO_QUEUE_URL: sqs.kicks.url,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: sqs.region,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
  };
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  'it says ready, sends kicks to SQS, reports its health, and ends with status 0 on %s',
  async (signal) => {
    const database = await createDatabase();
    await applyTables(database.url, { orders: ['all'] });
    const environment = await environmentFor(database.url);
    const port = await freePort();
    const { child, exit, output, errors } = run({ ...environment, BUCARDO_HEALTH_PORT: String(port) });
    await waitFor(() => output() === 'ready\n', 15_000, 'ready');
    const queue = createKickQueue({
      queueUrl: environment['BUCARDO_QUEUE_URL'] ?? '',
      endpoint: environment['AWS_ENDPOINT_URL_SQS'],
    });
    const depth = async () => (await queue.depth()).visible;
    await waitFor(async () => (await depth()) === 1, 20_000, 'the first kick');
    await inDatabase(database, (db) => db.run(`insert into orders values (1)`));
    await waitFor(async () => (await depth()) === 2, 20_000, 'the kick for the change');
    queue.close();
    const health = await fetch(`http://127.0.0.1:${port}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ sources: { shop: { well: true } } });

    child.kill(signal);
    expect(await exit).toBe(0);
    await inDatabase(database, async (db) => {
      expect(await db.row(`select last_value::int as flag from bucardo.wake`)).toEqual({ flag: 0 });
    });
    const events = errors()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly event: string }).event);
    expect(events).toEqual(['notifier.source.connected', 'notifier.stopped']);
  },
);

test('it ends with status 0 when asked while source and queue are away', async () => {
  const { child, exit, output } = run({
    ...(await environmentFor('postgres://127.0.0.1:1/gone')),
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
  });
  await waitFor(() => output() === 'ready\n', 15_000, 'ready');
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
});

test('it ends when asked although the queue takes no kicks', async () => {
  const database = await createDatabase();
  await applyTables(database.url, { orders: ['all'] });
  const { child, exit, errors } = run({
    ...(await environmentFor(database.url)),
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
  });
  await waitFor(() => errors().includes('notifier.source.connected'), 15_000, 'connected');
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
});

test('a setting that is missing ends it with status 1 and says what to do', async () => {
  const { BUCARDO_QUEUE_URL: _, ...environment } = await environmentFor('postgres://127.0.0.1:1/gone');
  const { exit, errors, output } = run(environment);
  expect(await exit).toBe(1);
  expect(errors()).toContain('What to do:');
  expect(errors()).toContain('BUCARDO_QUEUE_URL');
  expect(output()).toBe('');
});
