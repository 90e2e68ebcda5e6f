/**
 * Deletes deltas that every lane has, in two steps: record what is covered now, and delete it when the record is older than
 * the retention. The pause outlasts the longest run, so a run that was thought dead still finds what it began with.
 *
 * Every table is walked page by page, in chunks that are transactions of their own and note their place. So a call ends within its
 * deadline wherever it is, the next goes on there, and all tables get their turns. One that fails is recorded and delays no other.
 *
 * Coverage only grows: a lane that is registered later starts with a mark beyond it, and marks that are forgotten
 * (another cluster) take the record with them.
 */
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { formatSnapshot, intersect, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import { errorFields, type Log } from '../telemetry/log.ts';
import { quoteDelta } from './capture-sql.ts';
import { tryCaptureLock } from './capture-lock.ts';
import { notePurged } from './note-purged.ts';
import { PURGING } from './delta-guard.ts';
import { asNotApplied } from './not-applied.ts';
import { AT_HOME, markIsFromHere } from './source-identity.ts';

export interface PurgeSettings {
  /** Never less than the longest possible run. Architecture: 15 minutes with one source, an hour with several. */
  readonly retentionSeconds: number;
  readonly log: Log;
  /** No chunk begins later. Default: all that is due is done. */
  readonly deadlineMs?: number;
  /** Milliseconds, the deadline's clock. */
  readonly now?: () => number;
}

export interface PurgeOutcome {
  /** Deltas and truncations deleted. */
  readonly deleted: number;
  /** Relations whose purge failed. */
  readonly failed: number;
  /** Relations that the next call goes on with. */
  readonly unfinished: number;
}

/** Heap pages in one transaction: at most 18,624 rows, some ten milliseconds. */
const PAGES_PER_CHUNK = 64;
/** MaxHeapTuplesPerPage of Postgres: a page holds so many rows at most, by its size, header and the smallest row. */
const ROWS_PER_PAGE = `((current_setting('block_size')::int - 24) / 28)`;

interface PurgeRow extends RelationName {
  readonly deltaName: string;
  /** Texts of snapshots; null covers nothing. One per lane, and one per relation that a lane holds. */
  readonly marks: readonly (string | null)[];
  /** What was recorded earlier, if it is older than the retention. */
  readonly ripe: string | null;
  readonly recorded: boolean;
  /** Where the walk for the record goes on. */
  readonly nextPage: string;
  /** The walk for the record has come to its end. */
  readonly walked: boolean;
  readonly pages: string;
  readonly failing: boolean;
  /** Covers everything that has ended: the coverage where no lane has the relation. */
  readonly now: string;
}

/**
 * $1 retention in seconds. One row per captured relation whose delta table is there, the one that has waited longest for its turn first;
 * one snapshot for all, no locks. Marks of another place count as covering nothing.
 */
const READ_PURGE = `
  select r.schema_name as schema, r.table_name as table, r.delta_name as "deltaName",
    (
      select coalesce(json_agg(case when ${markIsFromHere('p')} then p.mark::text end), '[]')
      from bucardo.sync_relation s join bucardo.progress p using (sync)
      where (s.schema_name, s.table_name) = (r.schema_name, r.table_name)
    )::jsonb || (
      select coalesce(json_agg(h.mark::text), '[]')
      from bucardo.held_relation h
      where (h.schema_name, h.table_name) = (r.schema_name, r.table_name)
    )::jsonb as marks,
    case when m.marked_at <= clock_timestamp() - $1 * interval '1 second' then m.covered::text end as ripe,
    m.covered is not null as recorded,
    coalesce(m.next_page, 0) as "nextPage",
    coalesce(m.walked, false) as walked,
    pg_relation_size(d.oid) / current_setting('block_size')::int8 as pages,
    f.schema_name is not null as failing,
    txid_current_snapshot()::text as now
  from bucardo.relation r
  join pg_class d on d.relname = r.delta_name and d.relnamespace = to_regnamespace('bucardo') and d.relkind = 'r'
  left join bucardo.purge_mark m using (schema_name, table_name)
  left join bucardo.purge_failure f using (schema_name, table_name)
  order by m.advanced_at nulls first, r.schema_name, r.table_name`;

/** A table under way. */
interface Walk {
  readonly row: PurgeRow;
  readonly covered: Snapshot;
  page: number;
  deleted: number;
}

/**
 * One call does what is due, as far as its time goes; call it now and then. Two at once, or one beside an `apply`: the later does nothing.
 *
 * @throws BUC-NOT-APPLIED; BUC-DB-UNREACHABLE. What concerns one relation is recorded instead.
 */
export async function purge(db: Connection, settings: PurgeSettings): Promise<PurgeOutcome> {
  const outcome = await tryCaptureLock(db, async () => {
    await assertAtHome(db);
    return await purgeAll(db, settings);
  });
  return outcome ?? { deleted: 0, failed: 0, unfinished: 0 };
}

async function purgeAll(db: Connection, settings: PurgeSettings): Promise<PurgeOutcome> {
  const { retentionSeconds, log, deadlineMs = Number.POSITIVE_INFINITY, now = Date.now } = settings;
  const failed = new Set<string>();
  let deleted = 0;

  /** Undefined if it failed, which is recorded. */
  async function alone<Result>(row: PurgeRow, act: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await act();
    } catch (error) {
      const known = asBucardoError(error).with({ relation: displayRelation(row) });
      if (known.code === 'BUC-DB-UNREACHABLE') throw known;
      failed.add(displayRelation(row));
      log('error', 'capture.purge.failed', { ...errorFields(known), database: db.database });
      await recordFailure(db, row, known);
      return undefined;
    }
  }

  let walks: Walk[] = [];
  for (const row of await readRows(db, retentionSeconds)) {
    const walk = await alone(row, () => beginWalk(db, row));
    if (walk !== undefined) walks.push(walk);
  }
  // In turns, a chunk each: a huge table keeps none waiting. A call whose time is over makes one step nevertheless.
  for (let first = true; walks.length > 0 && (first || now() < deadlineMs);) {
    const next: Walk[] = [];
    for (const walk of walks) {
      if (!first && now() >= deadlineMs) {
        next.push(walk);
        continue;
      }
      first = false;
      const before = walk.deleted;
      const state = await alone(walk.row, () => walkOn(db, walk));
      deleted += walk.deleted - before;
      if (state === 'on') next.push(walk);
      if (state === 'done' && walk.deleted > 0) {
        const relation = displayRelation(walk.row);
        log('info', 'capture.purged', { database: db.database, relation, rows: walk.deleted });
      }
    }
    walks = next;
  }
  return { deleted, failed: failed.size, unfinished: walks.length };
}

/** A restored source is made at home by its lanes or by `apply`; until then its txids mean nothing. */
async function assertAtHome(db: Connection): Promise<void> {
  const { there } = await db.row<{ there: boolean }>(
    `select to_regclass('bucardo.origin') is not null as there`,
  );
  const [origin] = there
    ? await db.rows<{ home: boolean }>(`select ${AT_HOME} as home from bucardo.origin`)
    : [];
  if (origin?.home !== true) {
    throw new BucardoError('BUC-NOT-APPLIED', {
      database: db.database,
      ...(origin === undefined ? {} : { detail: 'the queue tables come from another database' }),
    });
  }
}

async function readRows(db: Connection, retentionSeconds: number): Promise<readonly PurgeRow[]> {
  try {
    return await db.rows<PurgeRow>(READ_PURGE, [retentionSeconds]);
  } catch (error) {
    throw asNotApplied(error, { database: db.database });
  }
}

/** Undefined if nothing is to be deleted now. */
async function beginWalk(db: Connection, row: PurgeRow): Promise<Walk | undefined> {
  if (row.ripe === null && row.recorded) return undefined;
  if (row.ripe === null || row.walked) {
    await finish(db, row);
    return undefined;
  }
  const covered = parseSnapshot(row.ripe);
  await notePurged(db, row, covered);
  return { row, covered, page: Number(row.nextPage), deleted: 0 };
}

/** One chunk, and the place where the next begins, in one transaction. */
async function walkOn(db: Connection, walk: Walk): Promise<'on' | 'done'> {
  const { row, covered, page } = walk;
  const end = Math.min(page + PAGES_PER_CHUNK, Number(row.pages));
  const deleted = await db.transaction('read committed', async () => {
    const truncations = page === 0 ? await deleteTruncations(db, row, covered) : 0;
    const deltas = page < end ? await deletePages(db, row, covered, page, end) : 0;
    await db.run(
      `update bucardo.purge_mark set next_page = $3, walked = $4, advanced_at = clock_timestamp()
       where (schema_name, table_name) = ($1, $2)`,
      [row.schema, row.table, end, end >= Number(row.pages)],
    );
    return truncations + deltas;
  });
  walk.page = end;
  walk.deleted += deleted;
  if (end < Number(row.pages)) return 'on';
  await finish(db, row);
  return 'done';
}

/** Records what is covered now, for the next walk. */
async function finish(db: Connection, row: PurgeRow): Promise<void> {
  await record(db, row, coverage(row.marks, row.now));
  if (!row.failing) return;
  await db.run(`delete from bucardo.purge_failure where (schema_name, table_name) = ($1, $2)`, [
    row.schema,
    row.table,
  ]);
}

async function deleteTruncations(db: Connection, row: PurgeRow, covered: Snapshot): Promise<number> {
  return await db.run(
    `delete from bucardo.truncation where (schema_name, table_name) = ($2, $3) and ${visible(covered)}`,
    [formatSnapshot(covered), row.schema, row.table],
  );
}

/**
 * By place: linear whatever was deleted before, whereas looking up the oldest entries again and again would read all dead ones each
 * time as long as some old transaction keeps them.
 */
async function deletePages(
  db: Connection,
  { deltaName }: PurgeRow,
  covered: Snapshot,
  from: number,
  to: number,
): Promise<number> {
  await db.script(`set local ${PURGING} = 'on'`);
  return await db.run(
    `delete from ${quoteDelta(deltaName)}
      where ctid = any(array(
        select format('(%s,%s)', page, line)::tid
        from generate_series($2::int8, $3::int8) page, generate_series(1, ${ROWS_PER_PAGE}) line
      )) and ${visible(covered)}`,
    [formatSnapshot(covered), from, to - 1],
  );
}

/** $1 the snapshot's text. */
function visible({ xmax }: Snapshot): string {
  return `txid < ${xmax} and txid_visible_in_snapshot(txid, $1)`;
}

async function recordFailure(
  db: Connection,
  { schema, table }: PurgeRow,
  error: BucardoError,
): Promise<void> {
  await db.run(
    `insert into bucardo.purge_failure (schema_name, table_name, error_code, error_detail) values ($1, $2, $3, $4)
      on conflict (schema_name, table_name) do update
      set error_code = excluded.error_code, error_detail = excluded.error_detail,
        failures = purge_failure.failures + 1, failed_at = clock_timestamp()`,
    [schema, table, error.code, error.message],
  );
}

/**
 * What every lane that has the relation has got.
 *
 * @param marks texts of snapshots; null covers nothing
 * @param now text of the snapshot that covers everything, for a relation that no lane has
 * @returns undefined if nothing is covered
 */
export function coverage(marks: readonly (string | null)[], now: string): Snapshot | undefined {
  const snapshots = marks.filter((mark) => mark !== null).map(parseSnapshot);
  if (snapshots.length < marks.length) return undefined;
  return intersect([parseSnapshot(now), ...snapshots]);
}

/** Replaces the record whose deletions are done. */
async function record(
  db: Connection,
  { schema, table }: RelationName,
  covered: Snapshot | undefined,
): Promise<void> {
  if (covered === undefined) {
    await db.run(`delete from bucardo.purge_mark where schema_name = $1 and table_name = $2`, [
      schema,
      table,
    ]);
    return;
  }
  await db.run(
    `insert into bucardo.purge_mark (schema_name, table_name, covered) values ($1, $2, $3)
      on conflict (schema_name, table_name) do update
      set covered = excluded.covered, marked_at = clock_timestamp(), next_page = 0,
        walked = purge_mark.walked and purge_mark.covered::text = excluded.covered::text,
        advanced_at = clock_timestamp()`,
    [schema, table, formatSnapshot(covered)],
  );
}
