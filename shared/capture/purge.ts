/**
 * Deletes deltas that every lane has, in two steps: record what is covered now, and delete it when the record is older than
 * the retention. The pause outlasts the longest run, so a run that was thought dead still finds what it began with.
 *
 * Coverage only grows: a lane that is registered later starts with a mark beyond it, and marks that are forgotten
 * (another cluster) take the record with them.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { formatSnapshot, intersect, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import type { Log } from '../telemetry/log.ts';
import { quoteDelta } from './capture-sql.ts';
import { tryCaptureLock } from './capture-lock.ts';
import { PURGING } from './delta-guard.ts';
import { AT_HOME, markIsFromHere } from './source-identity.ts';

export interface PurgeSettings {
  /** Never less than the longest possible run. Architecture: 15 minutes with one source, an hour with several. */
  readonly retentionSeconds: number;
  readonly log: Log;
}

export interface PurgeOutcome {
  /** Deltas and truncations deleted. */
  readonly deleted: number;
}

/** Heap pages in one transaction: at most 18,624 rows, some ten milliseconds. */
const PAGES_PER_CHUNK = 64;
/** MaxHeapTuplesPerPage for pages of 8 kB. */
const ROWS_PER_PAGE = 291;

interface PurgeRow extends RelationName {
  readonly deltaName: string;
  /** Texts of snapshots; null covers nothing. One per lane, and one per relation that a lane holds. */
  readonly marks: readonly (string | null)[];
  /** What was recorded earlier, if it is older than the retention. */
  readonly ripe: string | null;
  readonly recorded: boolean;
  /** Covers everything that has ended: the coverage where no lane has the relation. */
  readonly now: string;
}

/**
 * $1 retention in seconds. One row per captured relation whose delta table is there; one snapshot for all, no locks. Marks of
 * another place count as covering nothing.
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
    txid_current_snapshot()::text as now
  from bucardo.relation r
  left join bucardo.purge_mark m using (schema_name, table_name)
  where to_regclass(format('bucardo.%I', r.delta_name)) is not null
  order by r.schema_name, r.table_name`;

/**
 * One call does what is due; call it now and then. Two at once, or one beside an `apply`: the later does nothing.
 *
 * @throws BUC-NOT-APPLIED
 */
export async function purge(db: Connection, settings: PurgeSettings): Promise<PurgeOutcome> {
  const outcome = await tryCaptureLock(db, async () => {
    await assertAtHome(db);
    let deleted = 0;
    for (const row of await db.rows<PurgeRow>(READ_PURGE, [settings.retentionSeconds])) {
      deleted += await purgeRelation(db, row, settings.log);
    }
    return { deleted };
  });
  return outcome ?? { deleted: 0 };
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

async function purgeRelation(db: Connection, row: PurgeRow, log: Log): Promise<number> {
  const deleted = row.ripe === null ? 0 : await deleteCovered(db, row, parseSnapshot(row.ripe));
  if (row.ripe === null && row.recorded) return 0;
  await record(db, row, coverage(row.marks, row.now));
  if (deleted > 0)
    log('info', 'capture.purged', { database: db.database, relation: displayRelation(row), rows: deleted });
  return deleted;
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
      set covered = excluded.covered, marked_at = clock_timestamp()`,
    [schema, table, formatSnapshot(covered)],
  );
}

/**
 * Walks the table's pages, each chunk a transaction of its own: linear whatever was deleted before, whereas looking up the oldest
 * entries again and again would read all dead ones each time as long as some old transaction keeps them.
 */
async function deleteCovered(db: Connection, row: PurgeRow, covered: Snapshot): Promise<number> {
  const delta = quoteDelta(row.deltaName);
  const visible = `txid < ${covered.xmax} and txid_visible_in_snapshot(txid, $1)`;
  const snapshot = formatSnapshot(covered);
  let deleted = await db.run(
    `delete from bucardo.truncation where schema_name = $2 and table_name = $3 and ${visible}`,
    [snapshot, row.schema, row.table],
  );
  const { any, pages } = await db.row<{ any: boolean; pages: number }>(
    `select exists (select from ${delta} where ${visible}) as any,
      (pg_relation_size('${delta.replaceAll("'", "''")}') / current_setting('block_size')::int)::int as pages`,
    [snapshot],
  );
  if (!any) return deleted;
  for (let page = 0; page < pages; page += PAGES_PER_CHUNK) {
    deleted += await db.transaction('read committed', async () => {
      await db.script(`set local ${PURGING} = 'on'`);
      return await db.run(
        `delete from ${delta}
        where ctid = any(array(
          select format('(%s,%s)', page, line)::tid
          from generate_series($2::int, $3::int) page, generate_series(1, ${ROWS_PER_PAGE}) line
        )) and ${visible}`,
        [snapshot, page, Math.min(page + PAGES_PER_CHUNK, pages) - 1],
      );
    });
  }
  return deleted;
}
