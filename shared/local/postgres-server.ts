/**
 * A real Postgres server on this machine, for the demo, the tests and the benchmarks: a fresh cluster in a temporary
 * folder, on a free port of the loopback address, that ends with this process.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withConnection } from '../postgres/connection.ts';
import { findPostgres, isRoot, NEWEST_MAJOR } from './postgres-binaries.ts';

export interface PostgresServerOptions {
  readonly major?: number;
  /** Folder of the programs of that major, instead of those that came from npm. */
  readonly bin?: string;
  /** Additional settings, for example `{ max_connections: '200' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Changes the cluster between initdb and the first start. Gets its data folder. */
  readonly prepare?: (cluster: { readonly data: string }) => void;
}

/** Debian's `nobody`; any unprivileged user will do. */
const NOBODY = 65534;

/** Durability of a throwaway cluster is worth nothing; everything else is as in production. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  shared_buffers: '128MB',
  max_wal_size: '4GB',
  wal_level: 'logical',
  log_min_messages: 'fatal',
};

const START_TIMEOUT_MS = 30_000;

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const major = options.major ?? NEWEST_MAJOR;
  const bin = options.bin ?? join(findPostgres(major), 'bin');
  const runAs = isRoot() ? { uid: NOBODY, gid: NOBODY } : {};
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-postgres-'));
  if (isRoot()) chownSync(folder, NOBODY, NOBODY);
  try {
    initialize(bin, folder, runAs);
    options.prepare?.({ data: join(folder, 'data') });
    const settings = { ...SETTINGS, ...options.settings };
    const server = new PostgresServer(major, bin, folder, await freePort(), settings);
    await server.start();
    return server;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function initialize(bin: string, folder: string, runAs: { uid?: number; gid?: number }): void {
  execFileSync(
    join(bin, 'initdb'),
    [
      '--pgdata',
      join(folder, 'data'),
      '--username',
      'postgres',
      '--auth',
      'trust',
      '--encoding',
      'UTF8',
      '--locale',
      'C',
      '--no-sync',
    ],
    { ...runAs, stdio: ['ignore', 'ignore', 'pipe'], cwd: folder },
  );
}

export class PostgresServer {
  readonly major: number;
  readonly bin: string;
  readonly data: string;
  readonly #folder: string;
  readonly #settings: Readonly<Record<string, string>>;
  #port: number;
  #process: ChildProcess | undefined;

  constructor(
    major: number,
    bin: string,
    folder: string,
    port: number,
    settings: Readonly<Record<string, string>>,
  ) {
    this.major = major;
    this.bin = bin;
    this.data = join(folder, 'data');
    this.#folder = folder;
    this.#port = port;
    this.#settings = settings;
    // Whoever forgot to stop it: nothing of it outlives this process.
    process.once('exit', () => {
      this.#process?.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    });
  }

  get port(): number {
    return this.#port;
  }

  /** Connection URL of a database on this server. The cluster trusts loopback; no password is needed. */
  url(database = 'postgres', user = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.#port}/${database}`;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Starts (again), on the same port and data. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const options = Object.entries({ ...this.#settings, ...settings, port: String(this.#port) }).flatMap(
      ([name, value]) => ['-c', `${name}=${value}`],
    );
    const child = spawn(join(this.bin, 'postgres'), ['-D', this.data, ...options], {
      ...(isRoot() ? { uid: NOBODY, gid: NOBODY } : {}),
      stdio: ['ignore', 'ignore', 'pipe'],
      cwd: this.#folder,
    });
    let log = '';
    child.stderr.on('data', (chunk) => (log = `${log}${chunk}`.slice(-4000)));
    child.once('exit', () => {
      if (this.#process === child) this.#process = undefined;
    });
    this.#process = child;
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (this.#process !== child) throw new Error(`Postgres ${this.major} ended at its start:\n${log}`);
      if (Date.now() > deadline) throw new Error(`Postgres ${this.major} does not answer:\n${log}`);
      await sleep(25);
    }
  }

  /** `fast` ends sessions and shuts down cleanly; `immediate` is a crash. Resolves when the process is gone. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await gone;
  }

  /** Moves a stopped server to another port, as a failover changes an address. */
  async moveToNewPort(): Promise<void> {
    this.#port = await freePort();
  }

  /** Stops the server and deletes its data. */
  async destroy(): Promise<void> {
    await this.stop('immediate');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }

  async #answers(): Promise<boolean> {
    try {
      await withConnection({ database: 'local', url: this.url(), purpose: 'start' }, (db) =>
        db.script('select 1'),
      );
      return true;
    } catch {
      return false;
    }
  }
}

/** A port of the loopback address that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
