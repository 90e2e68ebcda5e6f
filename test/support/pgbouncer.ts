/**
 * A real PgBouncer (Debian's package) in front of a test's server, on a free port, with a temporary folder. The gate installs it;
 * elsewhere its absence is one loud line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRoot } from '../../shared/local/postgres-binaries.ts';
import { freePort } from '../../shared/local/postgres-server.ts';
import { waitFor } from './wait-for.ts';

const PROGRAM = '/usr/sbin/pgbouncer';
/** Debian's `nobody`; PgBouncer refuses root. */
const NOBODY = 65534;

export type PoolMode = 'transaction' | 'session' | 'statement';

/** True if a test that needs PgBouncer is to be skipped: never in CI, where it fails instead. */
export function skipWithoutPgBouncer(): boolean {
  try {
    accessSync(PROGRAM);
    return false;
  } catch {
    console.warn('SKIPPED: poolers; needs PgBouncer (apt-get install pgbouncer)');
    return process.env['CI'] !== 'true';
  }
}

export interface PgBouncer extends AsyncDisposable {
  /** The same database and role by way of the pooler. */
  readonly through: (url: string) => string;
}

/** @param server URL of the server behind it. @param settings of section `[pgbouncer]`, besides the mode */
export async function startPgBouncer(
  server: string,
  mode: PoolMode,
  settings: Readonly<Record<string, string>> = {},
): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-pgbouncer-'));
  const port = await freePort();
  const behind = new URL(server);
  const options = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: join(folder, 'users.txt'),
    pool_mode: mode,
    default_pool_size: '5',
    ...settings,
  };
  const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(join(folder, 'users.txt'), '"postgres" ""\n"writer" ""\n');
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]\n* = host=${behind.hostname} port=${behind.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  );
  if (isRoot()) {
    for (const path of [folder, join(folder, 'users.txt'), join(folder, 'pgbouncer.ini')])
      chownSync(path, NOBODY, NOBODY);
  }
  const child = spawn(PROGRAM, [join(folder, 'pgbouncer.ini')], {
    ...(isRoot() ? { uid: NOBODY, gid: NOBODY } : {}),
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: folder,
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  let log = '';
  child.stderr.on('data', (chunk) => (log = `${log}${chunk}`.slice(-4000)));
  const stop = async (): Promise<void> => {
    await end(child);
    process.off('exit', kill);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitFor(async () => {
      if (child.exitCode !== null) throw new Error(`PgBouncer ended at its start:\n${log}`);
      return await listens(port);
    }, 20_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    through: (url) => {
      const way = new URL(url);
      way.hostname = '127.0.0.1';
      way.port = String(port);
      return way.href;
    },
    [Symbol.asyncDispose]: stop,
  };
}

async function listens(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (heard: boolean): void => {
      socket.destroy();
      resolve(heard);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
