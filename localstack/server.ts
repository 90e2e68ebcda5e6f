/**
 * A LocalStack on this machine that listens on loopback only: as a container where there is a Docker engine, else from Python packages
 * with functions as Node processes. It ends with everything that it started when it is stopped, and when the process ends that
 * started it, however that one ends: a pipe to its standard input closes then.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../shared/local/postgres-server.ts';
import { dockerCommand, hasDocker } from './docker.ts';
import { installLocalStack } from './install.ts';
import { LOOPBACK, settingsOf } from './settings.ts';

export interface LocalStackOptions {
  /** For its state, its log and what functions write; stays when it is stopped. One LocalStack at a time. */
  readonly folder: string;
  /** Default: any free one. */
  readonly port?: number;
}

export interface LocalStack {
  readonly pid: number;
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 90_000;
const LOOK_EVERY_MS = 100;
const STOP_WITHIN_MS = 15_000;

/** @throws if the port is taken, or if it is not ready in time, with the end of its log */
export async function startLocalStack({ folder, port: wanted }: LocalStackOptions): Promise<LocalStack> {
  const port = wanted ?? (await freePort());
  // Otherwise another LocalStack there would answer that it is ready.
  await requireFree(port);
  const endpoint = `http://${LOOPBACK}:${port}`;
  for (const name of ['tmp', 'cache']) mkdirSync(join(folder, name), { recursive: true });
  const [command, args] = hasDocker()
    ? dockerCommand(port)
    : [installLocalStack(), ['-m', 'localstack.runtime.main']];
  const logFile = join(folder, 'localstack.log');
  const log = openSync(logFile, 'w');
  const child = spawn(command, args, {
    cwd: folder,
    env: environmentOf(folder, port),
    stdio: ['pipe', log, log],
    // A group of its own: a terminal's Ctrl+C is for us, who end it in order.
    detached: true,
  });
  closeSync(log);
  const spawned = new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  const killGroup = (): void => endGroup(child);
  process.once('exit', killGroup);
  const stop = async (): Promise<void> => {
    await stopGroup(child);
    process.off('exit', killGroup);
  };
  try {
    await spawned;
    await untilReady(endpoint, child);
  } catch (error) {
    await stop();
    const end = readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n');
    throw new Error(`LocalStack did not start; the end of its log:\n${end}`, { cause: error });
  }
  return { pid: child.pid ?? 0, endpoint, stop };
}

/** Nothing of the person's own AWS settings gets to it. */
function environmentOf(folder: string, port: number): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    // Which engine `docker` talks to.
    DOCKER_HOST: process.env['DOCKER_HOST'],
    HOME: folder,
    TMPDIR: join(folder, 'tmp'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    ...settingsOf(port),
    LAMBDA_RUNTIME_EXECUTOR: 'node',
    LAMBDA_NODE_BINARY: process.execPath,
    BUCARDO_END_WITH_STDIN: '1',
  };
}

async function requireFree(port: number): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) =>
      server.once('error', reject).listen(port, LOOPBACK, resolve),
    );
  } catch (error) {
    throw new Error(`port ${port} is taken; choose another one, or stop who listens there`, { cause: error });
  }
  await new Promise((resolve) => server.close(resolve));
}

async function untilReady(endpoint: string, child: ChildProcess): Promise<void> {
  const endMs = Date.now() + READY_WITHIN_MS;
  for (;;) {
    if (hasEnded(child)) throw new Error('it ended');
    const answered = await fetch(`${endpoint}/_localstack/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answered) return;
    if (Date.now() > endMs) throw new Error(`not ready within ${READY_WITHIN_MS / 1000} s`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** Asks first: it ends its functions then. */
async function stopGroup(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) {
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(STOP_WITHIN_MS, undefined, { ref: false })]);
  }
  endGroup(child);
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}
