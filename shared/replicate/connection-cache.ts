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

export class ConnectionCache {
  readonly #idle = new Map<string, Idle>();
  #closed = false;

  /**
   * Runs `body` with a connection, warm if there is one. It is kept for later only if `body` succeeds.
   * A changed url (failover, rotated password) makes a warm connection unfit.
   */
  async with<Result>(
    options: CachedConnectOptions,
    body: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const connection = (await this.#warm(options)) ?? (await fresh(options));
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
