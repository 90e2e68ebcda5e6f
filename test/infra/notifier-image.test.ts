/**
 * The notifier's image, as far as it can be looked at without a Docker engine: its recipe, its context, and the program in it run with
 * nothing but Node in a folder of its own. The image itself is not built here.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeNotifierContext } from '../../infra/notifier-image.ts';
import { readConfig } from '../../infra/read-config.ts';
import { freePort } from '../../shared/local/postgres-server.ts';
import { startLocalSqs } from '../../shared/local/sqs-server.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { createDatabase, inDatabase } from '../support/database.ts';
import { applyTables } from '../support/notifying.ts';
import { temporaryFolder, writeConfig } from '../support/synthesise.ts';
import { waitFor } from '../support/wait-for.ts';

const CONFIG = `{
  databases: {
    shop: { engine: 'postgres', url: env('SHOP_URL') },
    reports: { engine: 'postgres', url: 'postgres://127.0.0.1:1/reports' },
  },
  syncs: { all: { sources: ['shop'], targets: ['reports'], tables: ['public.orders'] } },
}`;

function writeContext(): string {
  const outDir = temporaryFolder('bucardo-image-');
  const configFile = writeConfig(CONFIG);
  writeNotifierContext({ fleet: readConfig(configFile), configFile, outDir });
  return outDir;
}

/** Instructions in order, continued lines joined, comments left out. */
function instructionsOf(folder: string): readonly { readonly name: string; readonly rest: string }[] {
  return readFileSync(join(folder, 'Dockerfile'), 'utf8')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name = '', ...rest] = line.split(' ');
      return { name, rest: rest.join(' ') };
    });
}

test('the recipe has two stages of pinned images, runs without a shell and not as root', () => {
  const folder = writeContext();
  const instructions = instructionsOf(folder);
  const images = instructions
    .filter(({ name }) => name === 'FROM')
    .map(({ rest }) => rest.split(' ').find((word) => !word.startsWith('--')) ?? '');
  expect(images).toHaveLength(2);
  for (const image of images) expect(image).toMatch(/^[\w./-]+:(?!latest$)[\w.-]+$/);
  // What is run while the image is built must not need an emulator of the image's processor.
  const stages = instructions.map(({ name, rest }) => (name === 'FROM' ? rest : ''));
  for (const [index, { name }] of instructions.entries()) {
    if (name !== 'RUN') continue;
    expect(stages.slice(0, index).findLast((stage) => stage !== '')).toMatch(/^--platform=\$BUILDPLATFORM /);
  }
  const last = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'));
  const of = (wanted: string) => last.find(({ name }) => name === wanted)?.rest ?? '';
  expect(of('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  // A shell form would need a shell, which the image has not.
  expect(last.filter(({ name }) => name === 'RUN')).toEqual([]);
  expect(JSON.parse(of('ENTRYPOINT'))).toEqual(['/nodejs/bin/node', '/app/main.mjs']);
  expect(JSON.parse(of('HEALTHCHECK').replace(/^.* CMD /, ''))).toEqual([
    '/nodejs/bin/node',
    '/app/health.mjs',
  ]);
  for (const { rest } of instructions.filter(
    ({ name, rest: from }) => name === 'COPY' && !from.startsWith('--from'),
  )) {
    expect(existsSync(join(folder, rest.split(' ')[0] ?? ''))).toBe(true);
  }
  expect(readdirSync(folder).toSorted((a, b) => a.localeCompare(b))).toEqual(['app', 'Dockerfile']);
});

test('its check and its program run with nothing but Node, and a change becomes a kick', async () => {
  const context = writeContext();
  // Outside of every node_modules folder, as in the image.
  const app = join(temporaryFolder('bucardo-app-'), 'app');
  cpSync(join(context, 'app'), app, { recursive: true });
  const check =
    instructionsOf(context)
      .find(({ name }) => name === 'RUN')
      ?.rest.replaceAll('/app/', `${app}/`) ?? '';
  execFileSync('sh', ['-c', check], { env: { PATH: process.env['PATH'] } });

  const database = await createDatabase();
  await applyTables(database.url, { orders: ['all'] });
  const sqs = await startLocalSqs();
  onTestFinished(() => sqs.close());
  const port = String(await freePort());
  const environment = {
    SHOP_URL: database.url,
    BUCARDO_QUEUE_URL: sqs.kicks.url,
    BUCARDO_HEALTH_PORT: port,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: sqs.region,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
  };
  const health = (): boolean => {
    try {
      execFileSync(process.execPath, [join(app, 'health.mjs')], { cwd: app, env: environment });
      return true;
    } catch {
      return false;
    }
  };
  expect(health()).toBe(false);
  const child = spawn(process.execPath, [join(app, 'main.mjs')], { cwd: app, env: environment });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await waitFor(() => output === 'ready\n', 15_000, 'ready');
  expect(health()).toBe(true);
  const queue = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: sqs.endpoint });
  await inDatabase(database, (db) => db.run('insert into orders values (1)'));
  await waitFor(async () => (await queue.depth()).visible === 2, 10_000, 'the kick for the change');
  queue.close();
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(health()).toBe(false);
});
