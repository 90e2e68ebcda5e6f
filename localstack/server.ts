/**
 * A LocalStack on this machine that listens on loopback only: as a container where there is a Docker engine, else from Python packages
 * with functions as Node processes. Ended with everything that it started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerCommand, hasDocker } from './docker.ts';
import { installLocalStack } from './install.ts';

export interface LocalStackOptions {
  /** For its state, its log and what functions write; stays when it is stopped. */
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

const LOOPBACK = '127.0.0.1';
const READY_WITHIN_MS = 90_000;
const LOOK_EVERY_MS = 200;
const STOP_WITHIN_MS = 15_000;

/** @throws if it is not ready in time, with the end of its log */
export async function startLocalStack({ folder, port: wanted }: LocalStackOptions): Promise<LocalStack> {
  const port = wanted ?? (await freePort());
  const endpoint = `http://${LOOPBACK}:${port}`;
  for (const name of ['tmp', 'cache']) mkdirSync(join(folder, name), { recursive: true });
  const logFile = join(folder, 'localstack.log');
  const log = openSync(logFile, 'a');
  const [command, args] = hasDocker()
    ? dockerCommand(port)
    : [installLocalStack(), ['-m', 'localstack.runtime.main']];
  const child = spawn(command, args, {
    cwd: folder,
    env: environmentOf(folder, port),
    stdio: ['ignore', log, log],
    // A group of its own, so that it is ended with what it started, and not by whoever ends us.
    detached: true,
  });
  closeSync(log);
  const stop = (): Promise<void> => stopGroup(child);
  try {
    await untilReady(endpoint, child);
  } catch (error) {
    await stop();
    const end = readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n');
    throw new Error(`LocalStack did not start; the end of its log:\n${end}`, { cause: error });
  }
  return { pid: child.pid ?? 0, endpoint, stop };
}

function environmentOf(folder: string, port: number): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: folder,
    TMPDIR: join(folder, 'tmp'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    GATEWAY_LISTEN: `${LOOPBACK}:${port}`,
    // The default server listens on every address.
    GATEWAY_SERVER: 'hypercorn',
    LOCALSTACK_HOST: `${LOOPBACK}:${port}`,
    SQS_ENDPOINT_STRATEGY: 'path',
    // Nothing is fetched, told or resolved elsewhere.
    DNS_ADDRESS: '0',
    DISABLE_EVENTS: '1',
    SKIP_SSL_CERT_DOWNLOAD: '1',
    SKIP_INFRA_DOWNLOADS: '1',
    LAMBDA_RUNTIME_EXECUTOR: 'node',
    LAMBDA_NODE_BINARY: process.execPath,
    LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC: '0.2',
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC: '1',
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC: '2',
    SQS_CLOUDWATCH_METRICS_REPORT_INTERVAL: '5',
  };
}

async function untilReady(endpoint: string, child: ChildProcess): Promise<void> {
  const endMs = Date.now() + READY_WITHIN_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended');
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
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(STOP_WITHIN_MS, undefined, { ref: false })]);
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address === 'object' && address !== null) return address.port;
  throw new Error('no port is free');
}
