/**
 * One connection to one Postgres server, with session settings under which every value's text form is exact and the same
 * everywhere. Rows of users' tables pass only through `copyOut` and `copyIn`, as bytes; `rows` is for our own tables and
 * the catalogs. Errors come out as BucardoError with the database's name.
 */
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Client, type CustomTypesConfig, type QueryResult, types as driverTypes } from 'pg';
import { type CopyToStreamQuery, from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { BucardoError } from '../errors/bucardo-error.ts';
import { fromDriverError } from './errors.ts';
import { rdsTls } from './rds-tls.ts';

export interface ConnectOptions {
  /** The database's name in the configuration, for errors and `application_name`. */
  readonly database: string;
  /** Connection URL, already resolved. Never logged. */
  readonly url: string;
  /** What the session is for, shown in pg_stat_activity: `bucardo PURPOSE`. */
  readonly purpose: string;
  readonly connectTimeoutMs?: number;
}

export type Isolation = 'read committed' | 'repeatable read' | 'repeatable read read only';

/** int8 arrives as text; times too, so that no microsecond is lost in a Date. */
const TIME_OIDS = new Set([1082, 1083, 1114, 1184, 1186, 1266]);
const types: CustomTypesConfig = {
  getTypeParser: (oid: number) =>
    TIME_OIDS.has(oid) ? (text: string) => text : driverTypes.getTypeParser(oid),
};

/**
 * Sources: the Postgres manual's chapters on formats of each type. `row_security = off` turns a silent filter into an
 * error; an empty-handed `search_path` makes every name in our SQL stand for exactly one thing. What one database commits is
 * relied upon in another, so our commits are durable whatever the server's default. A client whose host died without a word
 * loses its session, and with it its locks, within a minute; the system's default is two hours.
 */
const SESSION = `
  set search_path = pg_catalog;
  set client_min_messages = warning;
  set timezone = 'UTC';
  set datestyle = 'ISO, YMD';
  set intervalstyle = 'postgres';
  set extra_float_digits = 1;
  set bytea_output = 'hex';
  set lc_monetary = 'C';
  set xmloption = 'content';
  set row_security = off;
  set statement_timeout = 0;
  set lock_timeout = 0;
  set idle_in_transaction_session_timeout = 0;
  set tcp_keepalives_idle = 20;
  set tcp_keepalives_interval = 10;
  set tcp_keepalives_count = 3;
  select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'`;

/** What the driver calls on every query that it runs; its types leave it out. */
interface DriverQuery {
  handleError(error: Error): void;
}

const OLDEST_SERVER = 120000;

/** How long a session may take to say goodbye before its socket is closed. */
const FAREWELL_MS = 1_000;

/** @throws BUC-DB-UNREACHABLE, BUC-DB-AUTH, BUC-DB-TLS, BUC-DB-VERSION */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { database, purpose, connectTimeoutMs = 10_000 } = options;
  let client: Client;
  const rds = await rdsTls(options.url);
  try {
    client = new Client({
      connectionString: withLibpqSslModes(rds?.url ?? options.url),
      ...(rds === undefined ? {} : { ssl: rds.ssl }),
      application_name: `bucardo ${purpose}`,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      types,
    });
  } catch (error) {
    throw unreadableUrl(error, database);
  }
  // Without a listener a broken idle connection would end the process; the next query reports it.
  client.on('error', () => {});
  let setUpLimit: NodeJS.Timeout | undefined;
  try {
    await client.connect();
    // The driver's own limit ends with the login, and a pooler may grant a login that no server stands behind.
    setUpLimit = setTimeout(() => hangUp(client, new Error('timeout expired')), connectTimeoutMs);
    await client.query(SESSION);
    const { rows } = await client.query<{ version: number }>(
      `select current_setting('server_version_num')::int as version`,
    );
    const serverVersion = rows[0]?.version ?? 0;
    if (serverVersion < OLDEST_SERVER) {
      throw new BucardoError('BUC-DB-VERSION', { database, detail: `server_version_num ${serverVersion}` });
    }
    return new Connection(database, serverVersion, client);
  } catch (error) {
    await client.end().catch(() => {});
    throw fromDriverError(error, { database });
  } finally {
    clearTimeout(setUpLimit);
  }
}

/** Runs `body` with a connection that is closed whatever happens. */
export async function withConnection<Result>(
  options: ConnectOptions,
  body: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(options);
  try {
    return await body(connection);
  } finally {
    await connection.close();
  }
}

export class Connection {
  readonly database: string;
  /** `server_version_num`, for example 150018. */
  readonly serverVersion: number;
  readonly #client: Client;
  readonly #prepared = new Map<string, string>();
  #closed = false;

  constructor(database: string, serverVersion: number, client: Client) {
    this.database = database;
    this.serverVersion = serverVersion;
    this.#client = client;
    client.on('end', () => (this.#closed = true));
    client.on('error', () => (this.#closed = true));
  }

  /** Whether the connection is known to be gone. False is no promise. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Rows of our own tables or of the catalogs. int8, numeric and times arrive as text. */
  async rows<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const result = await this.#query(sql, values);
    return result.rows as Row[];
  }

  /** The first row; fails if there is none. */
  async row<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row> {
    const [row] = await this.rows<Row>(sql, values);
    if (row === undefined)
      throw new BucardoError('BUC-UNEXPECTED', { database: this.database, detail: 'no row' });
    return row;
  }

  /** Runs one statement; returns how many rows it touched. */
  async run(sql: string, values: readonly unknown[] = []): Promise<number> {
    const result = await this.#query(sql, values);
    return result.rowCount ?? 0;
  }

  /** As `rows`, but the server parses and plans the statement only once per session. */
  async rowsPrepared<Row extends object>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    const result = await this.#execute(sql, values);
    return result.rows as Row[];
  }

  /** As `run`, but the server parses and plans the statement only once per session. */
  async runPrepared(sql: string, values: readonly unknown[]): Promise<number> {
    const result = await this.#execute(sql, values);
    return result.rowCount ?? 0;
  }

  /** Runs several statements, separated by semicolons, in one round trip. No parameters. */
  async script(sql: string): Promise<void> {
    try {
      await this.#client.query(sql);
    } catch (error) {
      throw this.#named(error);
    }
  }

  /** Commits if `body` returns, rolls back if it throws. */
  async transaction<Result>(isolation: Isolation, body: () => Promise<Result>): Promise<Result> {
    await this.script(`begin isolation level ${isolation}`);
    try {
      const result = await body();
      await this.script('commit');
      return result;
    } catch (error) {
      await this.script('rollback').catch(() => {});
      throw error;
    }
  }

  /** Bytes of `copy (…) to stdout`. Not reading it to its end makes the connection useless: close it then. */
  copyOut(sql: string): Readable {
    const stream: CopyToStreamQuery & Partial<DriverQuery> = copyTo(sql);
    const report = stream.handleError?.bind(stream);
    // Whoever reads the stream gets the error with this database's name, also in a pipe into another database.
    if (report !== undefined) stream.handleError = (error) => report(this.#named(error));
    return heard(this.#client.query(stream));
  }

  /** Pipes `from` into `copy … from stdin`; the slower side sets the pace. Returns how many rows arrived. */
  async copyIn(sql: string, from: Readable): Promise<number> {
    const into = heard(this.#client.query(copyFrom(sql)));
    try {
      await pipeline(from, into);
      return into.rowCount;
    } catch (error) {
      throw this.#named(error);
    }
  }

  /** Calls back for every NOTIFY on channels that the session listens to. */
  onNotification(callback: (channel: string, payload: string) => void): void {
    this.#client.on('notification', ({ channel, payload }) => callback(channel, payload ?? ''));
  }

  /** Calls back once when the connection is gone, for whatever reason. */
  onEnd(callback: () => void): void {
    this.#client.once('end', callback);
  }

  /** Ends the session. A server that does not answer in time is hung up on. */
  async close(): Promise<void> {
    this.#closed = true;
    const limit = setTimeout(() => hangUp(this.#client), FAREWELL_MS);
    await this.#client.end().catch(() => {});
    clearTimeout(limit);
  }

  /** Ends the session at once, in the middle of whatever it does; the server rolls back. */
  async abort(): Promise<void> {
    this.#closed = true;
    hangUp(this.#client);
    await this.#client.end().catch(() => {});
  }

  async #query(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    try {
      return await this.#client.query(sql, [...values]);
    } catch (error) {
      throw this.#named(error);
    }
  }

  async #execute(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    const name = this.#prepared.get(sql) ?? `s${this.#prepared.size}`;
    this.#prepared.set(sql, name);
    try {
      return await this.#client.query({ name, text: sql, values: [...values] });
    } catch (error) {
      throw this.#named(error);
    }
  }

  /** An error of a stream that was piped into ours keeps the name that it has. */
  #named(error: unknown): BucardoError {
    return fromDriverError(error, { database: this.database });
  }
}

/** sslmode then means what it means to psql, not what older drivers made of it. */
function withLibpqSslModes(url: string): string {
  if (!url.includes('sslmode=') || url.includes('uselibpqcompat')) return url;
  return `${url}&uselibpqcompat=true`;
}

/** A stream that nobody reads any more may still fail, when its session ends; without a listener that ends the process. */
function heard<Stream extends NodeJS.EventEmitter>(stream: Stream): Stream {
  stream.on('error', () => {});
  return stream;
}

function hangUp(client: Client, reason?: Error): void {
  // The driver's types leave its socket out.
  const { connection } = client as unknown as { readonly connection?: { readonly stream: Duplex } };
  connection?.stream.destroy(reason);
}

/** The driver's complaint about a URL may quote the URL; only its kind is kept. */
function unreadableUrl(error: unknown, database: string): BucardoError {
  const cause = new Error(error instanceof Error ? error.name : 'invalid URL');
  // The driver reads the files that sslrootcert, sslcert and sslkey name.
  if (error instanceof Error && 'syscall' in error) {
    const detail = 'a certificate or key file that the URL names cannot be read';
    return new BucardoError('BUC-DB-TLS', { database, detail, cause });
  }
  if (error instanceof Error && error.message.includes('sslmode=verify-ca requires')) {
    return new BucardoError('BUC-DB-TLS', { database, detail: 'sslmode=verify-ca needs sslrootcert', cause });
  }
  return new BucardoError('BUC-DB-UNREACHABLE', { database, detail: 'the URL cannot be read', cause });
}
