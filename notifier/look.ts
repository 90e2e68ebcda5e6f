/**
 * Looking at a source: which syncs have changes that a snapshot does not cover. All of one look is one statement in one
 * snapshot, its reading of the registry included, so that a table is either in the look or not registered in it.
 */
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import { quoteIdentifier, quoteLiteral } from '../shared/postgres/identifiers.ts';
import { formatSnapshot, parseSnapshot, type Snapshot } from '../shared/postgres/snapshot.ts';
import type { Look } from './protocol.ts';

/** Which delta tables belong to which of our syncs. */
export interface Registry {
  /** Equal as long as nothing was registered or taken out. */
  readonly fingerprint: string;
  /** Names of syncs by name of delta table (without schema). */
  readonly syncsByDelta: ReadonlyMap<string, readonly string[]>;
}

/** Nothing is known yet: the first look reads the registry and finds every sync in it changed. */
export const UNREAD: Registry = { fingerprint: '', syncsByDelta: new Map() };

/** One `apply` may register tables between two statements of ours, but not again and again. */
const MOST_READS = 10;

/**
 * The registered pairs of delta table and sync among the syncs of $1. A delta table that is registered but not there
 * (yet, or any more) has no changes. Byte order, so that the fingerprint does not depend on the database's collation.
 */
const PAIRS = `
  select r.delta_name as delta, s.sync
  from bucardo.sync_relation s
  join bucardo.relation r using (schema_name, table_name)
  where s.sync = any($1) and to_regclass(format('bucardo.%I', r.delta_name)) is not null`;

const FINGERPRINT = `
  select md5(coalesce(string_agg(format('%I %I', p.delta, p.sync), ',' order by p.delta collate "C", p.sync collate "C"), ''))
  from (${PAIRS}) p`;

/**
 * Returns the registry and its fingerprint, one row in any case; takes no locks. The delta tables themselves are not touched.
 */
const READ_REGISTRY = `
  select (${FINGERPRINT}) as fingerprint,
    (select coalesce(json_agg(p), '[]') from (${PAIRS}) p) as pairs`;

interface RegistryRow {
  readonly fingerprint: string;
  readonly pairs: readonly { readonly delta: string; readonly sync: string }[];
}

async function readRegistry(db: Connection, syncs: readonly string[]): Promise<Registry> {
  const { fingerprint, pairs } = await db.row<RegistryRow>(READ_REGISTRY, [syncs]);
  const syncsByDelta = Map.groupBy(pairs, ({ delta }) => delta);
  return {
    fingerprint,
    syncsByDelta: new Map([...syncsByDelta].map(([delta, of]) => [delta, of.map(({ sync }) => sync)])),
  };
}

/**
 * Prepares a session for looking. Without statistics the planner takes a third of a delta table for new and would scan
 * it from its beginning; the index on `txid` is always right. The server itself ends a statement that waits too long
 * (for a table that is being dropped, say), so that none is left behind.
 */
export async function prepareToLook(db: Connection, answerTimeoutMs: number): Promise<void> {
  await db.configure({
    enable_seqscan: 'off',
    enable_bitmapscan: 'off',
    plan_cache_mode: 'force_generic_plan',
    statement_timeout: String(Math.ceil(answerTimeoutMs * 0.8)),
  });
  const { there } = await db.row<{ there: boolean }>(
    `select to_regclass('bucardo.sync_relation') is not null and to_regclass('bucardo.wake') is not null as there`,
  );
  if (!there) throw new BucardoError('BUC-NOT-APPLIED', { database: db.database });
}

export interface LookRequest {
  /** The syncs that changes shall kick. */
  readonly syncs: readonly string[];
  /** As the last look left it. */
  readonly registry: Registry;
  /** Undefined: every registered sync counts as changed. */
  readonly seen: Snapshot | undefined;
}

/** A snapshot that is the same shows the same: nothing was registered, changed or taken out. Only the flag is outside of it. */
const READ_SNAPSHOT = `
  select txid_current_snapshot()::text as snapshot, (select last_value = 1 from bucardo.wake) as armed`;

/** Looks once. Syncs that got a table since the registry was read count as changed: nobody looked at it until now. */
export async function readLook(
  db: Connection,
  { syncs, registry, seen }: LookRequest,
): Promise<Look & { readonly registry: Registry }> {
  let current = registry;
  if (seen !== undefined && current !== UNREAD) {
    const { snapshot, armed } = await db.row<Pick<LookRow, 'snapshot' | 'armed'>>(READ_SNAPSHOT);
    if (snapshot === formatSnapshot(seen)) return { snapshot: seen, armed, syncs: [], registry };
  }
  const changed = new Set<string>();
  for (let reads = 0; reads < MOST_READS; reads += 1) {
    const found = current === UNREAD ? undefined : await tryLook(db, syncs, current, seen);
    if (found?.fingerprint === current.fingerprint) {
      const deltas = seen === undefined ? current.syncsByDelta.keys() : found.changed;
      for (const delta of deltas) for (const sync of current.syncsByDelta.get(delta) ?? []) changed.add(sync);
      return {
        snapshot: parseSnapshot(found.snapshot),
        armed: found.armed,
        syncs: [...changed],
        registry: current,
      };
    }
    const next = await readRegistry(db, syncs);
    for (const sync of gained(current, next)) changed.add(sync);
    current = next;
  }
  throw new BucardoError('BUC-DB-LOCKED', {
    database: db.database,
    detail: 'the registered tables changed all the while',
  });
}

/** Syncs with a delta table that they did not have before. */
function gained(before: Registry, after: Registry): readonly string[] {
  return [...after.syncsByDelta].flatMap(([delta, syncs]) => {
    const had = before.syncsByDelta.get(delta) ?? [];
    return syncs.filter((sync) => !had.includes(sync));
  });
}

interface LookRow {
  readonly snapshot: string;
  readonly fingerprint: string;
  readonly armed: boolean;
  readonly changed: readonly string[];
}

/** Undefined if a delta table was dropped after the registry was read. */
async function tryLook(
  db: Connection,
  syncs: readonly string[],
  registry: Registry,
  seen: Snapshot | undefined,
): Promise<LookRow | undefined> {
  const { xmax, running } = seen ?? EVERYTHING;
  try {
    const [found] = await db.rowsPrepared<LookRow>(lookStatement([...registry.syncsByDelta.keys()]), [
      syncs,
      String(xmax),
      running.map(String),
    ]);
    return found;
  } catch (error) {
    if (error instanceof BucardoError && error.code === 'BUC-TABLE-MISSING') return undefined;
    throw error;
  }
}

/** Where nothing has been seen all syncs count as changed, and no table need be looked at. */
const EVERYTHING: Snapshot = { xmax: 2n ** 63n - 1n, running: [] };

/**
 * $1 syncs, $2 and $3 the xmax and the running ids of what was seen. Returns one row: the snapshot, the registry's fingerprint in
 * it, the flag, and the names of the delta tables with rows that are visible in it and were not seen, TRUNCATEs
 * included. Takes no locks beyond those of reading.
 *
 * The text depends on the tables alone, so a session plans it once, and not at every look: with a thousand tables planning takes
 * longer than looking. Two `exists` per table where one condition would do: each ends at the first entry of one index range, whereas
 * for their `or` Postgres collects all entries of both, or reads the whole index (2M old deltas, nothing new: 0.4 ms
 * against 145 to 250).
 */
function lookStatement(deltas: readonly string[]): string {
  const changed = deltas.flatMap((delta) =>
    BEYOND_SEEN.map(
      (range) =>
        `select ${quoteLiteral(delta)} where exists (select from bucardo.${quoteIdentifier(delta)} where ${range})`,
    ),
  );
  const truncated = BEYOND_SEEN.map(
    (range) =>
      `select r.delta_name from bucardo.truncation join bucardo.relation r using (schema_name, table_name) where ${range}`,
  );
  return `
  select txid_current_snapshot()::text as snapshot,
    (${FINGERPRINT}) as fingerprint,
    (select last_value = 1 from bucardo.wake) as armed,
    array(${[...changed, ...truncated].join('\n      union all ')}) as changed`;
}

const BEYOND_SEEN = ['txid >= $2', 'txid = any($3)'];
