/**
 * Looks at every database of a fleet and puts all findings into one list. Databases are asked side by side, each within a
 * time of its own: one that does not answer costs its own findings only. Changes nothing anywhere.
 */
import { selectRelations } from '../capture/wanted.ts';
import { lanesOf } from '../config/lanes.ts';
import type { Database, Fleet, Lane, Sync } from '../config/types.ts';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import { describeTables, type Table } from '../postgres/catalog.ts';
import { connect, type Connection } from '../postgres/connection.ts';
import { displayRelation } from '../postgres/identifiers.ts';
import { type DumpedCapture, findDumpedCapture, readDumpedCapture } from './dumped-capture.ts';
import { type Finding, findingOf, note } from './finding.ts';
import { findLane } from './lane-findings.ts';
import { awaitedCopies, readFilled } from './read-filled.ts';
import { findRoutes, type RoutedSync } from './route-findings.ts';
import { readServer, type ServerFacts } from './read-server.ts';
import { readSource, type SourceFacts } from './read-source.ts';
import { readTables, type TableAccess } from './read-tables.ts';
import { findServer, findServerPair } from './server-findings.ts';
import { findSource, wantedRelations } from './source-findings.ts';
import { findLaneTable } from './target-findings.ts';

export interface CheckContext {
  readonly fleet: Fleet;
  /** Resolves a database's reference to its connection URL. */
  readonly resolveUrl: (database: Database) => Promise<string>;
  /** How long one database may take for all that it is asked. Default 30 seconds. */
  readonly patienceMs?: number;
}

/** What a database said, or why it did not. */
type Answer<Facts> = { readonly facts: Facts } | { readonly error: BucardoError };

interface DatabaseLook {
  readonly server: ServerFacts;
  /** Undefined if no sync reads from the database. */
  readonly source: SourceFacts | undefined;
  /** Capture in a database that no sync reads from. */
  readonly dumped: DumpedCapture | undefined;
}

interface TargetLook {
  /** By `displayRelation`. */
  readonly tables: ReadonlyMap<string, Table>;
  readonly access: ReadonlyMap<string, TableAccess>;
  /** Display names of tables with rows, whose first copy would leave them as they are. */
  readonly filled: ReadonlySet<string>;
}

/** Longest wait for a lock: describing a table takes the weakest there is, which only DDL keeps away. */
const SESSION = { lock_timeout: '5s', default_transaction_read_only: 'on' };

const PATIENCE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;

export async function checkFleet(context: CheckContext): Promise<readonly Finding[]> {
  const { fleet } = context;
  const databases = [...fleet.databases.values()];
  const looks = new Map<string, Answer<DatabaseLook>>(
    await Promise.all(
      databases.map(async (database) => [database.name, await lookAtDatabase(context, database)] as const),
    ),
  );
  const lanes = lanesOf(fleet);
  const targets = await Promise.all(lanes.map(async (lane) => await lookAtTarget(context, lane, looks)));
  return [
    ...databases.flatMap((database) => findDatabase(fleet, database, looks.get(database.name))),
    ...findRoutes(...routesOf(fleet, looks)),
    ...lanes.flatMap((lane, position) => findInLane(lane, looks, targets[position])),
  ];
}

/** What the databases that answered say about who is who, and which tables travel. */
function routesOf(
  fleet: Fleet,
  looks: ReadonlyMap<string, Answer<DatabaseLook>>,
): readonly [readonly RoutedSync[], ReadonlyMap<string, string>] {
  const identities = [...looks].flatMap(([name, answer]) => {
    const identity = factsOf(answer)?.server.identity;
    return identity === undefined ? [] : [[name, identity] as const];
  });
  const syncs = [...fleet.syncs.values()].map((sync): RoutedSync => {
    const capture = factsOf(looks.get(sync.source))?.source?.capture;
    const selected = capture === undefined ? [] : selectRelations([sync], capture.existing);
    return {
      sync,
      tables: new Map(
        selected.map((relation) => {
          const name = displayRelation(relation);
          return [name, capture?.facts.get(name)?.partitions.map(displayRelation) ?? []];
        }),
      ),
    };
  });
  return [syncs, new Map(identities)];
}

async function lookAtDatabase(context: CheckContext, database: Database): Promise<Answer<DatabaseLook>> {
  const syncs = syncsFrom(context.fleet, database);
  return await ask(context, database, async (db) => {
    const server = await readServer(db);
    const source =
      syncs.length === 0 ? undefined : await readSource(db, database, syncs, server.mayReadControl);
    const dumped = syncs.length === 0 ? await readDumpedCapture(db) : undefined;
    return { server, source, dumped };
  });
}

/** Undefined if the source has not said what to look for, or the target is known not to answer. */
async function lookAtTarget(
  context: CheckContext,
  lane: Lane,
  looks: ReadonlyMap<string, Answer<DatabaseLook>>,
): Promise<Answer<TargetLook> | undefined> {
  const database = context.fleet.databases.get(lane.destination);
  const look = factsOf(looks.get(lane.destination));
  const source = factsOf(looks.get(lane.source))?.source;
  const names = laneTables(lane, source);
  const sync = context.fleet.syncs.get(lane.sync);
  if (database === undefined || look === undefined || names === undefined) return undefined;
  const awaited = sync === undefined || source === undefined ? [] : awaitedCopies(lane, sync, source, names);
  return await ask(context, database, async (db) => {
    const tables = await describeTables(db, names);
    const there = awaited.flatMap((table) => tables.get(displayRelation(table)) ?? []);
    return { tables, access: await readTables(db, names), filled: await readFilled(db, there) };
  });
}

function findDatabase(
  fleet: Fleet,
  database: Database,
  look: Answer<DatabaseLook> | undefined,
): readonly Finding[] {
  if (look === undefined) return [];
  if ('error' in look) return [findingOf(look.error, { database: database.name })];
  const { server, source, dumped } = look.facts;
  const syncs = syncsFrom(fleet, database);
  const isTarget = [...fleet.syncs.values()].some(({ targets }) => targets.includes(database.name));
  return [
    ...findServer(database.name, server, {
      isSource: syncs.length > 0,
      isTarget,
      wake: database.wake,
    }),
    ...(isTarget && dumped !== undefined ? [findDumpedCapture(database.name, dumped)] : []),
    ...(source === undefined
      ? []
      : findSource(
          { database: database.name, role: server.role, databaseName: server.databaseName },
          syncs,
          source,
        )),
  ];
}

function findInLane(
  lane: Lane,
  looks: ReadonlyMap<string, Answer<DatabaseLook>>,
  target: Answer<TargetLook> | undefined,
): readonly Finding[] {
  const { sync, source, destination } = lane;
  const from = factsOf(looks.get(source));
  const to = factsOf(looks.get(destination));
  const status = from?.source?.lanes.find(
    (candidate) => candidate.sync === sync && candidate.destination === destination,
  );
  const stored = status === undefined ? [] : findLane(status);
  if (from === undefined || to === undefined) {
    const away = [from === undefined ? source : [], to === undefined ? destination : []].flat();
    return [
      ...stored,
      note(
        'info',
        'not-checked',
        { sync, database: destination },
        `not compared: ${away.join(' and ')} gave no answer`,
      ),
    ];
  }
  const pair = findServerPair({
    sync,
    source: { name: source, facts: from.server },
    target: { name: destination, facts: to.server },
  });
  if (target === undefined) {
    const text = `the tables were not compared: ${source} does not let us see what it captures`;
    return [...stored, ...pair, note('info', 'not-checked', { sync, database: destination }, text)];
  }
  if ('error' in target)
    return [...stored, ...pair, findingOf(target.error, { sync, database: destination })];
  return [...pair, ...findTables(lane, from, to, target.facts), ...stored];
}

function findTables(
  lane: Lane,
  from: DatabaseLook,
  to: DatabaseLook,
  { tables, access, filled }: TargetLook,
): readonly Finding[] {
  const { source } = from;
  if (source === undefined) return [];
  const keys = new Map(
    wantedRelations(source).map((relation) => [
      displayRelation(relation),
      relation.key.map(({ name }) => name),
    ]),
  );
  return (laneTables(lane, source) ?? []).flatMap((sourceTable) => {
    const relation = displayRelation(sourceTable);
    return findLaneTable({
      sync: lane.sync,
      source: lane.source,
      destination: lane.destination,
      name: { schema: sourceTable.schema, table: sourceTable.table },
      keyColumns: keys.get(relation) ?? sourceTable.keys[0]?.columns.map(({ name }) => name) ?? [],
      sourceTable,
      targetTable: tables.get(relation),
      access: access.get(relation),
      keepsRows: filled.has(relation),
      role: to.server.role,
      replicaRole: to.server.mayBeReplica,
      collations: { source: from.server.collation, target: to.server.collation },
    });
  });
}

/** The tables of a lane that its source has; undefined if that is not known. */
function laneTables(lane: Lane, source: SourceFacts | undefined): readonly Table[] | undefined {
  if (source?.capture === undefined) return undefined;
  const { tables, syncs, existing } = source.capture;
  return selectRelations(
    syncs.filter(({ name }) => name === lane.sync),
    existing,
  ).flatMap((selected) => tables.get(displayRelation(selected)) ?? []);
}

function syncsFrom(fleet: Fleet, { name }: Database): readonly Sync[] {
  return [...fleet.syncs.values()].filter(({ source }) => source === name);
}

function factsOf<Facts>(answer: Answer<Facts> | undefined): Facts | undefined {
  return answer !== undefined && 'facts' in answer ? answer.facts : undefined;
}

/** A session of its own, hung up on when the time is over. Never throws what a database did. */
async function ask<Facts>(
  { resolveUrl, patienceMs = PATIENCE_MS }: CheckContext,
  database: Database,
  body: (db: Connection) => Promise<Facts>,
): Promise<Answer<Facts>> {
  const { name } = database;
  const startedAtMs = performance.now();
  const leftMs = () => Math.max(1, patienceMs - (performance.now() - startedAtMs));
  let spent = false;
  try {
    const url = await resolveUrl(database);
    const connectTimeoutMs = Math.min(CONNECT_TIMEOUT_MS, leftMs());
    const db = await connect({ database: name, url, purpose: 'check', connectTimeoutMs });
    const hangUp = setTimeout(() => {
      spent = true;
      void db.abort();
    }, leftMs());
    try {
      await db.configure(SESSION);
      return { facts: await body(db) };
    } finally {
      clearTimeout(hangUp);
      await db.close();
    }
  } catch (error) {
    if (spent) {
      const detail = `it took longer than ${patienceMs / 1000} s to answer`;
      return { error: new BucardoError('BUC-DB-UNREACHABLE', { database: name, detail, cause: error }) };
    }
    return { error: asBucardoError(error).with({ database: name }) };
  }
}
