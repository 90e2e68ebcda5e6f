import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import { endProcess, knowProcess, runs } from '../../localstack/known-process.ts';

const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** Resolves when it runs the script; the script says so. */
async function start(script: string): Promise<number> {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('on'); setInterval(() => {}, 1000)`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  started.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child.pid ?? 0;
}

test('a process is known until it ends', async () => {
  const known = knowProcess(await start(''));
  expect(runs(known)).toBe(true);
  await endProcess(known, 'SIGTERM', 10_000);
  expect(runs(known)).toBe(false);
  expect(() => knowProcess(known.pid)).toThrow(`process ${known.pid} has ended`);
});

test('one that has got the pid of another is left alone', async () => {
  const pid = await start('');
  const other = { pid, started: 'at another time' };
  expect(runs(other)).toBe(false);
  await endProcess(other, 'SIGKILL', 1_000);
  expect(runs(knowProcess(pid))).toBe(true);
});

test('one that does not end when asked is killed in time', async () => {
  const known = knowProcess(await start(`process.on('SIGTERM', () => {})`));
  await endProcess(known, 'SIGTERM', 200);
  expect(runs(known)).toBe(false);
});
