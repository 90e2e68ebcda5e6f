/**
 * One connection to one Postgres server, with settings under which every value's text form is exact and the same
 * everywhere. Rows of users' tables pass only through `copyOut` and `copyIn`, as bytes; `rows` is for our own tables and
 * the catalogs. Errors come out as BucardoError with the database's name.
 *
 * A session that a pooler stands behind may be an application's next. There, nothing is set for longer than a transaction, no statement
 * is prepared under a name, every transaction looks whether it still is in the session that it was in at first, and what is not
 * in a transaction of the caller's gets one. This costs round trips, which a direct connection does not pay.
 */
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Client, type CustomTypesConfig, type QueryResult, types as driverTypes } from 'pg';
import { type CopyToStreamQuery, from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { BucardoError } from '../errors/bucardo-error.ts';
import { fromDriverError } from './errors.ts';
import { expectSessionMode, isRefusedTransaction } from './pooler.ts';
import { rdsTls } from './rds-tls.ts';
import { sessionScript, type Settings, transactionScript } from './session-settings.ts';
import { quoteLiteral } from './identifiers.ts';

export interface ConnectOptions {
  /** The database's name in the configuration, for errors and `application_name`. */
  readonly database: string;
  /** Connection URL, already resolved. Never logged. */
  readonly url: string;
  /** What the session is for, shown in pg_stat_activity: `bucardo PURPOSE`. */
  readonly purpose: string;
  readonly connectTimeoutMs?: number;
}

/** A column of a result, as the server describes it before any row. */
export interface ResultColumn {
  readonly name: string;
  /** Oid of the table that it comes from, and its number there. */
  readonly table: number;
  readonly number: number;
  /** Oid of its type; of a domain, of the type behind it. */
  readonly type: number;
  readonly modifier: number;
}

export type Isolation = 'read committed' | 'repeatable read' | 'repeatable read read only';

/** int8 arrives as text; times too, so that no microsecond is lost in a Date. */
const TIME_OIDS = new Set([1082, 1083, 1114, 1184, 1186, 1266]);
const types: CustomTypesConfig = {
  getTypeParser: (oid: number) =>
    TIME_OIDS.has(oid) ? (text: string) => text : driverTypes.getTypeParser(oid),
};

/** What the driver calls on every query that it runs; its types leave it out. */
interface DriverQuery {
  handleError(error: Error): void;
}

const OLDEST_SERVER = 120000;

/** One row. Nothing is set yet, so all names are qualified, and the role's timeout is put off. */
const WHO_ANSWERS = `
  begin; set local statement_timeout = 0;
  select pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version, pg_catalog.pg_backend_pid() as pid,
    pg_catalog.current_setting('session_replication_role') as role;
  commit`;

interface Answer {
  readonly version: number;
  readonly pid: number;
  readonly role: string;
}

/** How long a session may take to say goodbye before its socket is closed. */
const FAREWELL_MS = 1_000;

/** @throws BUC-DB-UNREACHABLE, BUC-DB-AUTH, BUC-DB-TLS, BUC-DB-VERSION, BUC-LANE-POOLED */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { database, connectTimeoutMs = 10_000 } = options;
  const client = await newClient(options);
  const clients = [client];
  let setUpLimit: NodeJS.Timeout | undefined;
  try {
    await client.connect();
    // The driver's own limit ends with the login, and a pooler may grant a login that no server stands behind.
    setUpLimit = setTimeout(() => {
      for (const each of clients) hangUp(each, new Error('timeout expired'));
    }, connectTimeoutMs);
    const { version, pid, role } = await askWhoAnswers(client);
    if (version < OLDEST_SERVER) {
      throw new BucardoError('BUC-DB-VERSION', { database, detail: `server_version_num ${version}` });
    }
    // Which server session this is was said at the login. A pooler hands out numbers of its own.
    if (processIdOf(client) === pid) {
      await client.query(sessionScript(version));
      if (role !== 'origin') await fireTriggers(client);
      return new Connection(database, version, client);
    }
    const second = await newClient(options);
    clients.push(second);
    try {
      await second.connect();
      await expectSessionMode({ client, pid }, second);
    } finally {
      await goodbye(second);
    }
    return new Connection(database, version, client, pid);
  } catch (error) {
    await goodbye(client);
    throw fromDriverError(error, { database });
  } finally {
    clearTimeout(setUpLimit);
  }
}

/** @throws BUC-LANE-POOLED where transactions are refused */
async function askWhoAnswers(client: Client): Promise<Answer> {
  try {
    // Several statements have several results, which the driver's types leave out.
    const results = (await client.query(WHO_ANSWERS)) as unknown as readonly QueryResult<Answer>[];
    const answer = results[2]?.rows[0];
    if (answer !== undefined) return answer;
  } catch (error) {
    throw isRefusedTransaction(error) ? new BucardoError('BUC-LANE-POOLED', { cause: error }) : error;
  }
  throw new BucardoError('BUC-UNEXPECTED', { detail: 'no answer' });
}

/** Where a role is in the replica role by default, the foreign keys of our own tables would be silent. It may have no right to leave it. */
async function fireTriggers(client: Client): Promise<void> {
  try {
    await client.query('set session_replication_role = origin');
  } catch (error) {
    if (fromDriverError(error, {}).sqlstate !== '42501') throw error;
  }
}

async function newClient({
  database,
  url,
  purpose,
  connectTimeoutMs = 10_000,
}: ConnectOptions): Promise<Client> {
  const rds = await rdsTls(url);
  try {
    const client = new Client({
      connectionString: withLibpqSslModes(rds?.url ?? url),
      ...(rds === undefined ? {} : { ssl: rds.ssl }),
      application_name: `bucardo ${purpose}`,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      types,
    });
    // Without a listener a broken idle connection would end the process; the next query reports it.
    client.on('error', () => {});
    return client;
  } catch (error) {
    throw unreadableUrl(error, database);
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
  /** The server session behind a pooler; undefined if there is no pooler. */
  readonly #pooledPid: number | undefined;
  readonly #prepared = new Map<string, string>();
  /** What `configure` was given, where it has to be repeated. */
  #configured: Settings = {};
  #closed = false;
  /** Why the server ended the session while nothing was asked. */
  #ended: Error | undefined;

  constructor(database: string, serverVersion: number, client: Client, pooledPid?: number) {
    this.database = database;
    this.serverVersion = serverVersion;
    this.#client = client;
    this.#pooledPid = pooledPid;
    client.on('end', () => (this.#closed = true));
    client.on('error', (error) => {
      this.#closed = true;
      // Later queries only learn that the connection is gone. The server may have said why.
      if ('code' in error && /^[0-9A-Z]{5}$/.test(String(error.code))) this.#ended ??= error;
    });
  }

  /** Whether the connection is known to be gone. False is no promise. */
  get closed(): boolean {
    return this.#closed;
  }

  /** A pooler in session mode stands between here and the server. */
  get pooled(): boolean {
    return this.#pooledPid !== undefined;
  }

  /** From now on all that runs here has these settings. Not within a transaction. */
  async configure(settings: Settings): Promise<void> {
    this.#configured = { ...this.#configured, ...settings };
    if (this.pooled) return;
    const sets = Object.entries(settings).map(([name, value]) => `set ${name} = ${quoteLiteral(value)}`);
    await this.script(sets.join('; '));
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

  /** The columns of each statement's result, all in one round trip; rows are thrown away. No parameters. */
  async resultColumns(statements: readonly string[]): Promise<readonly (readonly ResultColumn[])[]> {
    // The driver gives an array for several statements only; its types know nothing of that.
    const results: QueryResult | QueryResult[] = await this.#settled(() =>
      this.#client.query(statements.join(';\n')),
    );
    return [results].flat().map(({ fields }) =>
      fields.map(({ name, tableID, columnID, dataTypeID, dataTypeModifier }) => ({
        name,
        table: tableID,
        number: columnID,
        type: dataTypeID,
        modifier: dataTypeModifier,
      })),
    );
  }

  /** Runs several statements, separated by semicolons, in one round trip. No parameters. A `begin` may only come first. */
  async script(sql: string): Promise<void> {
    const [begin, rest] = splitBegin(sql);
    if (begin !== undefined && this.pooled) {
      await this.#begin(begin);
      if (rest !== '') await this.#driven(() => this.#client.query(rest));
      return;
    }
    await this.#settled(() => this.#client.query(sql));
  }

  /** Commits if `body` returns, rolls back if it throws. @param prologue what is set for this transaction, in the same round trip */
  async transaction<Result>(
    isolation: Isolation,
    body: () => Promise<Result>,
    prologue = '',
  ): Promise<Result> {
    try {
      await this.script(`begin isolation level ${isolation}${prologue === '' ? '' : `; ${prologue}`}`);
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
    return await this.#settled(async () => {
      const into = heard(this.#client.query(copyFrom(sql)));
      await pipeline(from, into);
      return into.rowCount;
    });
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
    // A pooler may be set up without a reset query.
    const leaving = this.pooled && this.#client.getTransactionStatus() === 'I';
    await goodbye(
      this.#client,
      leaving ? 'unlisten *; select pg_catalog.pg_advisory_unlock_all()' : undefined,
    );
  }

  /** Ends the session at once, in the middle of whatever it does; the server rolls back. */
  async abort(): Promise<void> {
    this.#closed = true;
    hangUp(this.#client);
    await this.#client.end().catch(() => {});
  }

  async #query(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    return await this.#settled(() => this.#client.query(sql, [...values]));
  }

  async #execute(sql: string, values: readonly unknown[]): Promise<QueryResult> {
    if (this.pooled) return await this.#query(sql, values);
    const name = this.#prepared.get(sql) ?? `s${this.#prepared.size}`;
    this.#prepared.set(sql, name);
    return await this.#driven(() => this.#client.query({ name, text: sql, values: [...values] }));
  }

  /** Runs `act` under our settings: the session's, the open transaction's, or those of a transaction made for it. */
  async #settled<Result>(act: () => Promise<Result>): Promise<Result> {
    if (!this.pooled || this.#client.getTransactionStatus() !== 'I') return await this.#driven(act);
    await this.#begin('begin');
    try {
      const result = await this.#driven(act);
      await this.#driven(() => this.#client.query('commit'));
      return result;
    } catch (error) {
      await this.#client.query('rollback').catch(() => {});
      throw error;
    }
  }

  /** Begins a transaction behind a pooler. @throws BUC-LANE-POOLED if it is another server session's */
  async #begin(begin: string): Promise<void> {
    const settings = transactionScript(this.serverVersion, this.#configured);
    const results = await this.#driven(() =>
      this.#client.query(`${begin}; ${settings}; select pg_catalog.pg_backend_pid() as pid`),
    );
    // Several statements have several results, which the driver's types leave out.
    const last = (Array.isArray(results) ? results : [results]).at(-1) as QueryResult<{ pid: number }>;
    if (last.rows[0]?.pid === this.#pooledPid) return;
    await this.#client.query('rollback').catch(() => {});
    throw new BucardoError('BUC-LANE-POOLED', { database: this.database });
  }

  async #driven<Result>(act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      throw this.#named(error);
    }
  }

  /** An error of a stream that was piped into ours keeps the name that it has. */
  #named(error: unknown): BucardoError {
    const known = fromDriverError(error, { database: this.database });
    if (this.#ended === undefined || known.sqlstate !== undefined) return known;
    return fromDriverError(this.#ended, { database: this.database });
  }
}

/** `begin …`, with `set transaction …` which must come before any query, and what follows; undefined and all of it otherwise. */
function splitBegin(sql: string): readonly [string | undefined, string] {
  const match = /^\s*(begin\b[^;]*(?:;\s*set transaction\b[^;]*)?)(?:;\s*([^]*))?$/i.exec(sql);
  return match?.[1] === undefined ? [undefined, sql] : [match[1], match[2] ?? ''];
}

/** The driver's types leave it out. Null if the server, or what stands before it, said nothing. */
function processIdOf(client: Client): number | null {
  return (client as unknown as { readonly processID: number | null }).processID;
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

async function goodbye(client: Client, lastWords?: string): Promise<void> {
  const limit = setTimeout(() => hangUp(client), FAREWELL_MS);
  if (lastWords !== undefined) await client.query(lastWords).catch(() => {});
  await client.end().catch(() => {});
  clearTimeout(limit);
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
