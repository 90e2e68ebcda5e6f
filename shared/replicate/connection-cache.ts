/**
 * Warm connections between runs: one idle connection per database and purpose. A connection leaves the cache while it
 * is used and comes back only after success, so nothing half-done is ever inherited.
 */
import { asBucardoError } from '../errors/bucardo-error.ts';
import { type Connection, type ConnectOptions, connect } from '../postgres/connection.ts';

/** An idle connection older than this may have been dropped by a firewall in between; it is not trusted. */
const IDLE_LIMIT_MS = 60_000;

interface Idle {
  readonly connection: Connection;
  readonly url: string;
  readonly sinceMs: number;
}

export interface CachedConnectOptions extends ConnectOptions {
  /** Runs once on every new connection. */
  readonly onConnect?: (connection: Connection) => Promise<void>;
  /** Runs at every use, first of all; on a warm connection it also shows whether the server is still there. */
  readonly onUse?: (connection: Connection) => Promise<void>;
}

export interface ConnectionCacheOptions {
  /**
   * Most connections to one database while one is opened, in use and idle together, for a process that runs lanes one after
   * the other: idle ones of other purposes make way. Default: any number.
   */
  readonly mostPerDatabase?: number;
}

export class ConnectionCache {
  readonly #idle = new Map<string, Idle>();
  /** Connections in use by database. */
  readonly #used = new Map<string, number>();
  readonly #mostPerDatabase: number;
  #closed = false;

  constructor({ mostPerDatabase = Number.POSITIVE_INFINITY }: ConnectionCacheOptions = {}) {
    this.#mostPerDatabase = mostPerDatabase;
  }

  /**
   * Runs `body` with a connection, warm if there is one. It is kept for later only if `body` succeeds.
   * A changed url (failover, rotated password) makes a warm connection unfit.
   */
  async with<Result>(
    options: CachedConnectOptions,
    body: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const { database } = options;
    this.#used.set(database, (this.#used.get(database) ?? 0) + 1);
    try {
      const connection = (await this.#warm(options)) ?? (await this.#fresh(options));
      return await this.#use(connection, options, body);
    } finally {
      this.#used.set(database, (this.#used.get(database) ?? 1) - 1);
    }
  }

  async #use<Result>(
    connection: Connection,
    options: CachedConnectOptions,
    body: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    let keep = false;
    try {
      const result = await body(connection);
      keep = !connection.closed;
      return result;
    } finally {
      const key = keyOf(options);
      // After a failure a statement or a stream may still be under way: no goodbye then.
      if (!keep) await connection.abort();
      else if (this.#closed || this.#idle.has(key)) await connection.close();
      else this.#idle.set(key, { connection, url: options.url, sinceMs: Date.now() });
    }
  }

  /** Closes what is idle now; what is in use is closed when it comes back. */
  async close(): Promise<void> {
    this.#closed = true;
    const idle = [...this.#idle.values()];
    this.#idle.clear();
    await Promise.all(idle.map(({ connection }) => connection.close()));
  }

  /** Those in use include the one that is wanted. */
  async #fresh(options: CachedConnectOptions): Promise<Connection> {
    const { database } = options;
    const idle = [...this.#idle].filter(([, { connection }]) => connection.database === database);
    const tooMany = (this.#used.get(database) ?? 0) + idle.length - this.#mostPerDatabase;
    // In the order in which they became idle: the oldest first.
    const leaving = idle.slice(0, Math.max(0, tooMany));
    for (const [key] of leaving) this.#idle.delete(key);
    await Promise.all(leaving.map(([, { connection }]) => connection.close()));
    return await fresh(options);
  }

  async #warm(options: CachedConnectOptions): Promise<Connection | undefined> {
    const idle = this.#idle.get(keyOf(options));
    if (idle === undefined) return undefined;
    this.#idle.delete(keyOf(options));
    const { connection, url, sinceMs } = idle;
    if (url !== options.url || connection.closed || Date.now() - sinceMs > IDLE_LIMIT_MS) {
      await connection.close();
      return undefined;
    }
    try {
      await (options.onUse ?? ping)(connection);
      return connection;
    } catch (error) {
      await connection.abort();
      // A server that was restarted meanwhile is no failure of this use.
      if (asBucardoError(error).code === 'BUC-DB-UNREACHABLE') return undefined;
      throw error;
    }
  }
}

async function fresh(options: CachedConnectOptions): Promise<Connection> {
  const connection = await connect(options);
  try {
    await options.onConnect?.(connection);
    await options.onUse?.(connection);
    return connection;
  } catch (error) {
    await connection.abort();
    throw error;
  }
}

async function ping(connection: Connection): Promise<void> {
  await connection.script('select 1');
}

function keyOf({ database, purpose }: ConnectOptions): string {
  return `${database} ${purpose}`;
}
