/** The commands of docs/localstack.md, as they are written there but for the port. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readState } from '../../localstack/state.ts';
import { freePort } from '../../shared/local/postgres-server.ts';
import { commandsOf } from '../support/commands-of.ts';

const ROOT = join(import.meta.dirname, '../..');
const PATH = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);

const commands = commandsOf('docs/localstack.md');

function run(command: string): string {
  const { status, stdout, stderr } = spawnSync('bash', ['-c', command], {
    cwd: ROOT,
    env: { ...process.env, PATH },
    encoding: 'utf8',
  });
  expect(status, `${command}\n${stdout}\n${stderr}`).toBe(0);
  return stdout;
}

/** Where somebody listens at the port, as Linux writes addresses: 0100007F is 127.0.0.1. */
function listeningAddresses(port: number): readonly string[] {
  return ['tcp', 'tcp6'].flatMap((file) =>
    readFileSync(`/proc/net/${file}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = '', , state]) => state === LISTEN && local.endsWith(`:${hexOf(port)}`))
      .map(([, local = '']) => local.replace(/:.*/, '')),
  );
}

/** proc(5) */
const LISTEN = '0A';

function hexOf(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

// Somebody's own would be ended otherwise.
if (readState() !== undefined) throw new Error('LocalStack is up here; run `npm run localstack:down` first');

afterAll(() => {
  if (readState() !== undefined) run('npm run localstack:down');
});

test('bring a fleet up, deploy it, bring a row over, and end everything', async () => {
  expect(commands.map((command) => command.replace('npm run localstack:', ''))).toEqual([
    'up',
    'deploy',
    'test',
    'down',
  ]);
  const [up = '', deploy = '', bringOver = '', down = ''] = commands;
  const port = await freePort();
  run(`${up} -- --port ${port}`);
  expect(listeningAddresses(port)).toEqual(['0100007F']);
  // It prints how to talk to what it has deployed, as a command on several lines.
  const [, status = ''] = /In another terminal:\n([\s\S]+)/.exec(run(deploy)) ?? [];
  expect(run(bringOver)).toMatch(/The row was at the target after \d+ ms/);
  expect(run(status)).toMatch(/main\/target +level/);
  expect(run(down)).toContain('Everything has ended.');
  expect(readState()).toBeUndefined();
});
