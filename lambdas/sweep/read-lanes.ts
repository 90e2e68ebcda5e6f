/** What a source knows about its lanes: when they ran, what is parked or held, and for how long changes have been waiting. */
import { asNotApplied } from '../../shared/capture/not-applied.ts';
import { markIsFromHere } from '../../shared/capture/source-identity.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import { NOTHING, parseSnapshot, type Snapshot } from '../../shared/postgres/snapshot.ts';

/** Seconds by the source's clock, null if it never happened. */
export interface LaneRow {
  readonly sync: string;
  readonly destination: string;
  readonly mark: string | null;
  readonly runStartedSecondsAgo: number | null;
  readonly failures: number;
  readonly retryDueForSeconds: number | null;
  readonly heldDueForSeconds: number | null;
  readonly copyUnfinished: boolean;
  readonly paused: boolean;
  readonly rejectedRows: number;
  readonly copiesNeeded: number;
  /** Delta tables of the sync's relations, as far as they are there. */
  readonly deltaNames: readonly string[];
  /** Relations that are held have marks of their own. */
  readonly held: readonly { readonly deltaName: string; readonly mark: string | null }[];
}

/**
 * One row per registered lane; takes no locks. A mark from another place (the source was restored) says nothing about
 * this one's transactions: it is given as null, everything pending, as a run takes it.
 */
const READ_LANES = `
  select p.sync, p.destination,
    case when ${markIsFromHere('p')} then p.mark::text end as mark,
    extract(epoch from clock_timestamp() - s.run_started_at)::float8 as "runStartedSecondsAgo",
    coalesce(s.failures, 0) as failures,
    extract(epoch from clock_timestamp() - s.retry_at)::float8 as "retryDueForSeconds",
    (
      select extract(epoch from clock_timestamp() - min(h.retry_at))::float8
      from bucardo.held_relation h
      where h.sync = p.sync and h.destination = p.destination
    ) as "heldDueForSeconds",
    exists (
      select from bucardo.copy c where c.sync = p.sync and c.destination = p.destination
    ) as "copyUnfinished",
    s.paused_at is not null as paused,
    (
      select count(*) from bucardo.rejected_row j where (j.sync, j.destination) = (p.sync, p.destination)
    )::float8 as "rejectedRows",
    (
      select count(*) from bucardo.copy_needed n where (n.sync, n.destination) = (p.sync, p.destination)
    )::float8 as "copiesNeeded",
    (
      select coalesce(json_agg(json_build_object('deltaName', r.delta_name, 'mark', h.mark::text)), '[]')
      from bucardo.held_relation h
      join bucardo.relation r using (schema_name, table_name)
      where (h.sync, h.destination) = (p.sync, p.destination)
        and to_regclass(format('bucardo.%I', r.delta_name)) is not null
    ) as held,
    array(
      select r.delta_name
      from bucardo.sync_relation sr
      join bucardo.relation r using (schema_name, table_name)
      where sr.sync = p.sync and to_regclass(format('bucardo.%I', r.delta_name)) is not null
      order by r.delta_name
    ) as "deltaNames"
  from bucardo.progress p
  left join bucardo.lane_status s using (sync, destination)`;

/** @throws BUC-NOT-APPLIED */
export async function readLanes(source: Connection): Promise<readonly LaneRow[]> {
  try {
    return await source.rows<LaneRow>(READ_LANES);
  } catch (error) {
    throw asNotApplied(error, { database: source.database });
  }
}

export interface Waiting {
  /** Age in seconds of the oldest change that waits; 0 if none does. */
  readonly lagSeconds: number;
  /** The same without held relations, which are not replicated by the next run but when their retry is due. */
  readonly unheldSeconds: number;
}

/** Among so many of the first waiting deltas is the oldest: they are in the order of transactions. */
const LOOKED_AT = 1_000;

/**
 * How long changes of a lane have been waiting. One statement over all delta tables, which reads LOOKED_AT entries at most of each
 * index on txid and each of the two ranges, whatever waits and whatever lies before the mark; takes no locks. 200 ms for a thousand
 * tables, nearly all of it planning.
 */
export async function readWaiting(
  source: Connection,
  { mark, deltaNames, held }: Pick<LaneRow, 'mark' | 'deltaNames' | 'held'>,
): Promise<Waiting> {
  if (deltaNames.length === 0) return { lagSeconds: 0, unheldSeconds: 0 };
  const heldMarks = new Map(held.map((relation) => [relation.deltaName, relation.mark]));
  const parts = deltaNames.map((deltaName) => {
    const heldMark = heldMarks.get(deltaName);
    const position = heldMark === undefined ? mark : heldMark;
    return `
      select ${heldMark !== undefined} as held, min(txntime) as oldest
      from ${firstPending(deltaName, position === null ? NOTHING : parseSnapshot(position))} first`;
  });
  const row = await source.row<{ lagSeconds: number | null; unheldSeconds: number | null }>(
    `select extract(epoch from clock_timestamp() - min(oldest))::float8 as "lagSeconds",
       extract(epoch from clock_timestamp() - min(oldest) filter (where not held))::float8 as "unheldSeconds"
     from (${parts.join(' union all ')}) parts`,
  );
  // The hybrid clock may be ahead of the server's for a moment.
  return {
    lagSeconds: Math.max(0, row.lagSeconds ?? 0),
    unheldSeconds: Math.max(0, row.unheldSeconds ?? 0),
  };
}

/**
 * The times of the first deltas beyond a mark, as a `from`-item. Each range has an order and a limit of its own: under a single one
 * for both, the planner reads the index from its beginning, two million covered entries in 230 ms.
 */
function firstPending(deltaName: string, { xmax, running }: Snapshot): string {
  const first = (condition: string): string =>
    `(select txntime from bucardo.${quoteIdentifier(deltaName)} where ${condition} order by txid limit ${LOOKED_AT})`;
  const beyond = first(`txid >= ${xmax}`);
  if (running.length === 0) return beyond;
  return `(${beyond} union all ${first(`txid in (${running.join(', ')})`)})`;
}
