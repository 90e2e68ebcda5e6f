/**
 * A lane for tests: a captured source, its targets, and runs of the real `runLane` between them. Targets are written in the
 * replica role, or as the role `writer`, which has DML rights only, so that foreign keys and triggers stay in force.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, expect } from 'vitest';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { CopyPolicy, Fleet, Lane, Sync } from '../../shared/config/types.ts';
import { lanesOfSync } from '../../shared/config/lanes.ts';
import type { PostgresServer } from '../../shared/local/postgres-server.ts';
import { describeTables, type Table } from '../../shared/postgres/catalog.ts';
import { type Connection, connect, withConnection } from '../../shared/postgres/connection.ts';
import {
  displayRelation,
  parseRelation,
  quoteIdentifier,
  quoteRelation,
  type RelationName,
} from '../../shared/postgres/identifiers.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import type { LaneRunOutcome } from '../../shared/replicate/lane-run.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { LANE_TABLE } from '../../shared/targets/postgres/lane-row.ts';
import { listRejected, type RejectedRow } from '../../shared/status/rejected-rows.ts';
import type { Log, LogFields } from '../../shared/telemetry/log.ts';
import { applySource, sourceDatabase, sourceSync } from './captured-source.ts';
import { createDatabase } from './database.ts';

export const SOURCE = 'east';

/** May log in and is given DML rights on everything, but may not set `session_replication_role`. */
const WRITER = 'writer';

export interface LaneFixtureOptions {
  /** Run on source and targets, or a script for each. Applications' search_path. */
  readonly schema?: string | { readonly source: string; readonly target: string };
  /** Captured tables or patterns; default `public.*`. */
  readonly tables?: readonly string[];
  /** How many; named `reports`, `reports_2`, … Default 1. */
  readonly targets?: number;
  /** `writer`: marker mode. Default: the superuser, so the replica role. */
  readonly targetRole?: 'writer' | undefined;
  /** Default `never`: source and targets begin as they are. */
  readonly copy?: CopyPolicy;
  readonly batchRows?: number;
  readonly sync?: string;
  /** Whether the targets have the table of lanes' rows, as `apply` makes it; default yes. */
  readonly laneRows?: boolean;
  /** Server encodings of the databases; default UTF8. */
  readonly encodings?: { readonly source?: string; readonly target?: string };
  /** Where to put the source, if not on the shared server. */
  readonly sourceServer?: PostgresServer;
  /** Where to put the targets, in their order, if not on the shared server. */
  readonly targetServers?: readonly PostgresServer[];
}

export interface LogEvent {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

export interface HeldRelation {
  readonly table: string;
  readonly code: string;
  readonly detail: string;
}

export interface FailedLane {
  readonly code: string | null;
  readonly detail: string | null;
  readonly failures: number;
}

interface Place {
  readonly url: string;
  urlAs(role: string): string;
}

const open: LaneFixture[] = [];

// Registered after the one that drops the databases, so it runs before it.
afterEach(async () => {
  for (const fixture of open.splice(0)) await fixture.close();
});

export async function createLaneFixture(options: LaneFixtureOptions = {}): Promise<LaneFixture> {
  const { schema = '', targets = 1, targetServers = [], encodings = {} } = options;
  const scripts = typeof schema === 'string' ? { source: schema, target: schema } : schema;
  const source = await place(options.sourceServer, scripts.source, encodings.source);
  const destinations = new Map<string, Place>();
  for (let position = 0; position < targets; position += 1) {
    const name = position === 0 ? 'reports' : `reports_${position + 1}`;
    destinations.set(name, await place(targetServers[position], scripts.target, encodings.target));
  }
  for (const { url } of destinations.values()) {
    if (options.laneRows !== false) await createLaneTable(url);
    if (options.targetRole !== undefined) await grantDml(url);
  }
  const fixture = new LaneFixture(options, source, destinations);
  open.push(fixture);
  await fixture.apply();
  await fixture.openSessions();
  return fixture;
}

export class LaneFixture {
  /** The application's session at the source. */
  source!: Connection;
  /** A superuser's session at the first target. */
  target!: Connection;
  readonly sync: Sync;
  readonly lanes: readonly Lane[];
  /** Everything that runs have logged. */
  readonly events: LogEvent[] = [];
  readonly log: Log = (level, event, fields = {}) => void this.events.push({ level, event, fields });
  readonly #options: LaneFixtureOptions;
  readonly #source: Place;
  readonly #targets: ReadonlyMap<string, Place>;
  #connections = new ConnectionCache();
  readonly #sessions: Connection[] = [];

  constructor(options: LaneFixtureOptions, source: Place, targets: ReadonlyMap<string, Place>) {
    this.#options = options;
    this.#source = source;
    this.#targets = targets;
    const { tables, batchRows, copy = 'never', sync } = options;
    this.sync = {
      ...sourceSync({
        copy,
        targets: [...targets.keys()],
        ...(tables === undefined ? {} : { tables }),
        ...(sync === undefined ? {} : { sync }),
      }),
      ...(batchRows === undefined ? {} : { batchRows }),
    };
    this.lanes = lanesOfSync(this.sync);
  }

  get lane(): Lane {
    return this.lanes[0]!;
  }

  get fleet(): Fleet {
    const names = [SOURCE, ...this.#targets.keys()];
    return {
      name: 'test',
      databases: new Map(names.map((name) => [name, sourceDatabase('poll', name)])),
      syncs: new Map([[this.sync.name, this.sync]]),
      aws: DEFAULT_AWS_SETTINGS,
    };
  }

  get sourceUrl(): string {
    return this.#source.url;
  }

  /** The superuser's URL of a target. */
  targetUrl(name = 'reports'): string {
    return this.#place(name).url;
  }

  /** The URL by which lanes reach a target. */
  laneUrl(name = 'reports'): string {
    return this.#urlOf(name);
  }

  /** Captures what the sync names now (again). */
  async apply(): Promise<void> {
    await applySource(this.#source.url, [this.sync], sourceDatabase('poll', SOURCE));
  }

  async openSessions(): Promise<void> {
    this.source = await this.session(this.#source.url);
    this.target = await this.session(this.targetUrl());
  }

  /** Does `body` while nobody is connected: all sessions and warm connections are closed, and new ones are opened after it. */
  async away(body: () => Promise<void>): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close()));
    await this.forgetConnections();
    await body();
    await this.openSessions();
  }

  /** Another application's session, closed with the fixture. */
  async session(url: string): Promise<Connection> {
    const session = await connect({ database: 'test', url, purpose: 'test application' });
    this.#sessions.push(session);
    await session.script('set search_path to "$user", public');
    return session;
  }

  /** Runs a lane until nothing is pending. @throws what the run throws */
  async run(lane: Lane = this.lane, deadlineMs = Date.now() + 60_000): Promise<LaneRunOutcome> {
    return await runLane(lane, {
      fleet: this.fleet,
      resolveUrl: async ({ name }) => this.#urlOf(name),
      log: this.log,
      deadlineMs,
      connections: this.#connections,
    });
  }

  /** As after a long pause: held relations are due, and the next run is the first of a fresh process. */
  async runLater(lane: Lane = this.lane): Promise<LaneRunOutcome> {
    await this.source.run(`update bucardo.held_relation set retry_at = clock_timestamp()`);
    await this.forgetConnections();
    return await this.run(lane);
  }

  async forgetConnections(): Promise<void> {
    await this.#connections.close();
    this.#connections = new ConnectionCache();
  }

  async held(lane: Lane = this.lane): Promise<readonly HeldRelation[]> {
    return await this.source.rows<HeldRelation>(
      `select schema_name || '.' || table_name as table, error_code as code, error_detail as detail
       from bucardo.held_relation where (sync, destination) = ($1, $2) order by 1`,
      [lane.sync, lane.destination],
    );
  }

  async rejected(lane: Lane = this.lane): Promise<readonly RejectedRow[]> {
    return await listRejected(this.source, { sync: lane.sync, destination: lane.destination });
  }

  async status(lane: Lane = this.lane): Promise<FailedLane> {
    return await this.source.row<FailedLane>(
      `select error_code as code, error_detail as detail, failures
       from bucardo.lane_status where (sync, destination) = ($1, $2)`,
      [lane.sync, lane.destination],
    );
  }

  /**
   * Every row of every table is the same at source and target: as text, and as binary where the type is Postgres's own.
   * Compares the source's columns (generated ones included) as far as the target has them.
   *
   * @param tables `schema.table`; default all that the lane replicates
   */
  async expectEqual(tables?: readonly string[], target = 'reports'): Promise<void> {
    const names = tables?.map(named) ?? (await this.#captured());
    await this.#comparing(target, async (here, there) => {
      const sourceTables = await describeTables(here, names);
      const targetTables = await describeTables(there, names);
      for (const name of names) {
        const display = displayRelation(name);
        const [inSource, inTarget] = [sourceTables.get(display), targetTables.get(display)];
        if (inSource === undefined || inTarget === undefined) throw new Error(`no table ${display}`);
        const columns = inSource.columns
          .map((column) => column.name)
          .filter((column) => inTarget.columns.some((other) => other.name === column));
        expect(await lines(there, inTarget, columns), display).toEqual(await lines(here, inSource, columns));
        const exact = await binaryColumns(here, inSource, columns);
        if (await sameBinary(here, there, [inSource, inTarget], exact)) continue;
        const different: string[] = [];
        for (const column of exact) {
          if (!(await sameBinary(here, there, [inSource, inTarget], [column]))) different.push(column);
        }
        expect.fail(`${display} differs in binary: ${different.join(', ')}`);
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close()));
    await this.#connections.close();
  }

  #place(name: string): Place {
    const found = name === SOURCE ? this.#source : this.#targets.get(name);
    if (found === undefined) throw new Error(`no database ${name}`);
    return found;
  }

  #urlOf(name: string): string {
    const found = this.#place(name);
    return name !== SOURCE && this.#options.targetRole !== undefined ? found.urlAs(WRITER) : found.url;
  }

  async #captured(): Promise<readonly RelationName[]> {
    return await this.source.rows<RelationName>(
      `select schema_name as schema, table_name as table from bucardo.sync_relation where sync = $1`,
      [this.sync.name],
    );
  }

  async #comparing(
    target: string,
    body: (here: Connection, there: Connection) => Promise<void>,
  ): Promise<void> {
    const session = (url: string) => ({ database: 'test', url, purpose: 'test comparison' });
    await withConnection(session(this.#source.url), (here) =>
      withConnection(session(this.targetUrl(target)), (there) => body(here, there)),
    );
  }
}

/** As `apply` does. */
export async function createLaneTable(url: string): Promise<void> {
  await withConnection({ database: 'test', url, purpose: 'test setup' }, (db) =>
    db.script(LANE_TABLE.join(';')),
  );
}

async function place(server: PostgresServer | undefined, sql: string, encoding?: string): Promise<Place> {
  if (server === undefined) return await createDatabase(sql, encoding);
  const name = `test_${randomBytes(6).toString('hex')}`;
  const session = (url: string) => ({ database: 'test', url, purpose: 'test setup' });
  await withConnection(session(server.url()), (db) => db.script(`create database ${name}`));
  await withConnection(session(server.url(name)), (db) => db.script(`set search_path to public; ${sql}`));
  return {
    // The port of a server that was moved is not the one it began with.
    get url() {
      return server.url(name);
    },
    urlAs: (role) => server.url(name, role),
  };
}

/** All rights that rows need, now and for tables made later; no ownership, no TRUNCATE. */
async function grantDml(url: string): Promise<void> {
  await withConnection({ database: 'test', url, purpose: 'test setup' }, async (db) => {
    await db.script(`
      do $$ begin
        create role ${WRITER} login;
      exception when duplicate_object or unique_violation then null;
      end $$`);
    const schemas = await db.rows<{ name: string }>(
      `select quote_ident(nspname) as name from pg_namespace where nspname !~ '^(pg_|information_schema)'`,
    );
    for (const { name } of schemas) {
      await db.script(`
        grant usage on schema ${name} to ${WRITER};
        grant select, insert, update, delete on all tables in schema ${name} to ${WRITER};
        grant usage on all sequences in schema ${name} to ${WRITER};
        alter default privileges in schema ${name} grant select, insert, update, delete on tables to ${WRITER}`);
    }
  });
}

function named(text: string): RelationName {
  const name = parseRelation(text);
  if (name === undefined) throw new Error(`not a table's name: ${text}`);
  return name;
}

function rowsOf(table: Table): string {
  return table.partitioned ? quoteRelation(table) : `only ${quoteRelation(table)}`;
}

async function lines(db: Connection, table: Table, columns: readonly string[]): Promise<readonly string[]> {
  const list = columns.map(quoteIdentifier).join(', ');
  const bytes = await collect(db, `copy (select ${list} from ${rowsOf(table)}) to stdout`);
  return bytes.toString('latin1').split('\n').sort();
}

/** Columns whose binary form holds no oids of users' types and tables, which differ from database to database. */
async function binaryColumns(
  db: Connection,
  { oid }: Table,
  columns: readonly string[],
): Promise<readonly string[]> {
  const rows = await db.rows<{ name: string }>(
    `select attname as name from pg_attribute a join pg_type t on t.oid = a.atttypid
     where attrelid = $1 and attname = any($2) and t.oid < 16384 and t.typname !~ '^_?reg' order by attnum`,
    [oid, columns],
  );
  return rows.map(({ name }) => name);
}

async function sameBinary(
  here: Connection,
  there: Connection,
  [inSource, inTarget]: readonly [Table, Table],
  columns: readonly string[],
): Promise<boolean> {
  return (await binary(here, inSource, columns)).equals(await binary(there, inTarget, columns));
}

async function binary(db: Connection, table: Table, columns: readonly string[]): Promise<Buffer> {
  if (columns.length === 0) return Buffer.alloc(0);
  const list = columns.map(quoteIdentifier).join(', ');
  // In the order of the text forms, which are known to be equal on both sides. One expression, since lists are bounded.
  const texts = columns
    .map(quoteIdentifier)
    .map((column) => `case when ${column} is not null then format('%s', ${column}) end`);
  const order = `array[${texts.join(', ')}] collate "C"`;
  return await collect(
    db,
    `copy (select ${list} from ${rowsOf(table)} order by ${order}) to stdout (format binary)`,
  );
}

async function collect(db: Connection, sql: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of db.copyOut(sql)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
