/**
 * Waiting until a lane has brought over everything that was committed at some moment. A lane is done when
 *
 * 1. a look at the source that began after that moment has come to its end (if the lane was asked to run),
 * 2. nothing of the moment is pending, no copy is unfinished and no table is held (held tables have marks of their own, so the
 *    lane's mark says nothing about them),
 * 3. the lane's status knows nothing else that the target may lack.
 *
 * Errors and holds count if the run that met them began after the moment. Earlier ones may be mended already, and are waited for.
 * All times are the source's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asNotApplied } from '../capture/not-applied.ts';
import type { Lane, Sync } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { ErrorCode } from '../errors/codes.ts';
import type { Connection } from '../postgres/connection.ts';
import { NOTHING, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import { quoteIdentifier, quoteLiteral } from '../postgres/identifiers.ts';
import { type LaneStatus, readStatus } from './read-status.ts';
import { notesOf, obstaclesOf } from './verdict.ts';

/** What has to arrive: all that this snapshot of the source shows. */
export interface Goal {
  readonly snapshot: Snapshot;
  /** When it was read, or a moment later. */
  readonly at: string;
}

export async function readGoal(source: Connection): Promise<Goal> {
  const { snapshot, at } = await source.row<{ snapshot: string; at: string }>(
    `select txid_current_snapshot()::text as snapshot, clock_timestamp()::text as at`,
  );
  return { snapshot: parseSnapshot(snapshot), at };
}

/**
 * Makes the lanes' next runs leave a trace even if they find nothing, and try held tables before their time. Before the kick is
 * sent and after the goal was read, so that a run which is kicked sees it. Locks the lanes' rows for a moment.
 */
export async function askForRuns(source: Connection, lanes: readonly Lane[]): Promise<void> {
  try {
    await source.run(
      `update bucardo.lane_status set asked_at = clock_timestamp()
       where (sync, destination) in (select * from unnest($1::text[], $2::text[]))`,
      [lanes.map(({ sync }) => sync), lanes.map(({ destination }) => destination)],
    );
  } catch (error) {
    throw asNotApplied(error, { database: source.database });
  }
}

export interface WaitOptions {
  readonly lane: Lane;
  /** The lane's. */
  readonly sync: Sync;
  readonly goal: Goal;
  /** The lane was asked to run after the goal was read: only a run that begins after it tells. */
  readonly asked: boolean;
  readonly timeoutSeconds: number;
}

const LOOK_EVERY_MS = 100;

/** A row that a batch refused is made pending again three times, each time behind everything else; one look more. */
const MOST_EXTENSIONS = 4;

/**
 * Resolves when the lane is done, with what is to be known about it all the same. As long as rows are parked the goal moves on: they may be pending again, under ids that it does
 * not have.
 * @throws BUC-NOT-APPLIED; BUC-LANE-NOT-DONE with what is in the way, or when the time is up
 */
export async function waitForLane(source: Connection, options: WaitOptions): Promise<readonly string[]> {
  const { lane, goal, timeoutSeconds } = options;
  const deadlineMs = Date.now() + timeoutSeconds * 1000;
  let reached = goal;
  let extensions = 0;
  for (;;) {
    const look = await readLane(source, lane, goal);
    const failed = failureOf(look, lane);
    if (failed !== undefined) throw notDone(lane, failed);
    const ran = !options.asked || look.ran;
    if (ran && !look.copying && look.held.length === 0 && !(await isWaiting(source, lane, look, reached))) {
      const status = await readLaneStatus(source, options);
      const obstacles = obstaclesOf(status);
      if (obstacles.length === 0) return notesOf(status);
      if (!look.parked || extensions === MOST_EXTENSIONS) throw notDone(lane, obstacles.join('; '));
      extensions += 1;
      reached = await readGoal(source);
      continue;
    }
    if (Date.now() > deadlineMs) throw notDone(lane, timeoutText(look, ran, timeoutSeconds));
    await sleep(LOOK_EVERY_MS);
  }
}

interface HeldLook {
  readonly relation: string;
  readonly code: string;
  readonly message: string;
  /** The run that tried it looked after the goal. */
  readonly tried: boolean;
}

interface Look {
  readonly mark: string | null;
  /** A run's look that began after the goal has come to its end. */
  readonly ran: boolean;
  readonly error: { readonly message: string; readonly tried: boolean } | null;
  readonly held: readonly HeldLook[];
  readonly copying: boolean;
  readonly parked: boolean;
  readonly paused: boolean;
  readonly deltaNames: readonly string[];
}

/** $1 sync, $2 destination, $3 the goal's moment. One row if the lane is registered; takes no locks. */
const READ_LANE = `
  select p.mark::text as mark,
    coalesce(s.looked_at > $3::timestamptz, false) as ran,
    case when s.error_code is not null then json_build_object('message', s.error_detail,
      'tried', coalesce(s.error_run_at, s.error_at) > $3::timestamptz) end as error,
    (
      select coalesce(json_agg(json_build_object('relation', h.schema_name || '.' || h.table_name,
        'code', h.error_code, 'message', h.error_detail,
        'tried', coalesce(h.tried_at, h.held_at) > $3::timestamptz) order by h.schema_name, h.table_name), '[]')
      from bucardo.held_relation h where (h.sync, h.destination) = ($1, $2)
    ) as held,
    exists (select from bucardo.copy c where (c.sync, c.destination) = ($1, $2)) as copying,
    exists (select from bucardo.rejected_row j where (j.sync, j.destination) = ($1, $2)) as parked,
    s.paused_at is not null as paused,
    array(select r.delta_name from bucardo.sync_relation sr join bucardo.relation r using (schema_name, table_name)
          where sr.sync = $1 and to_regclass(format('bucardo.%I', r.delta_name)) is not null) as "deltaNames"
  from bucardo.progress p
  left join bucardo.lane_status s using (sync, destination)
  where (p.sync, p.destination) = ($1, $2)`;

async function readLane(source: Connection, { sync, destination }: Lane, { at }: Goal): Promise<Look> {
  let look: Look | undefined;
  try {
    [look] = await source.rows<Look>(READ_LANE, [sync, destination, at]);
  } catch (error) {
    throw asNotApplied(error, { sync, database: source.database });
  }
  if (look === undefined) throw new BucardoError('BUC-NOT-APPLIED', { sync, database: source.database });
  return look;
}

/** What ends the waiting at once, in words. */
function failureOf({ paused, error, held }: Look, { sync, destination }: Lane): string | undefined {
  if (paused) return `the lane is paused; bucardo resume ${sync} --to ${destination}`;
  if (error?.tried === true) return error.message;
  const stuck = held.filter(({ code, tried }) => tried && !PASSING.has(code));
  return stuck.length === 0 ? undefined : stuck.map(({ message }) => message).join('; ');
}

/** A lock that another session holds goes by itself. */
const PASSING: ReadonlySet<string> = new Set<ErrorCode>(['BUC-DB-LOCKED', 'BUC-TABLE-LOCKED']);

function timeoutText({ error, held, copying }: Look, ran: boolean, seconds: number): string {
  const rest = [
    ...(error === null ? [] : [`an earlier run failed: ${error.message}`]),
    ...held.map(({ message }) => message),
    ...(copying ? ['a copy is under way'] : []),
  ];
  const what = ran
    ? `not finished after ${Math.round(seconds)} seconds`
    : 'no run that began after the kick has ended in time; does `bucardo dev` run, or the deployed fleet?';
  return [what, ...rest].join('; ');
}

/** @throws BUC-NOT-APPLIED */
async function readLaneStatus(source: Connection, { lane, sync }: WaitOptions): Promise<LaneStatus> {
  const status = (await readStatus(source, [sync])).find((one) => one.lane === lane.id);
  if (status === undefined)
    throw new BucardoError('BUC-NOT-APPLIED', { sync: lane.sync, database: source.database });
  return status;
}

/** Whether a delta or a TRUNCATE that the goal's snapshot showed is not covered by the lane's mark. */
async function isWaiting(
  source: Connection,
  { sync }: Lane,
  { mark, deltaNames }: Look,
  { snapshot }: Goal,
): Promise<boolean> {
  if (deltaNames.length === 0) return false;
  const { xmax, running } = mark === null ? NOTHING : parseSnapshot(mark);
  const shown = [
    `txid < ${snapshot.xmax}`,
    ...(snapshot.running.length === 0 ? [] : [`txid not in (${snapshot.running.join(', ')})`]),
  ].join(' and ');
  // The order makes it a look at the index; a scan would pass all that is covered but not purged yet, at every look.
  const truncations = `(select t.txid from bucardo.truncation t
    join bucardo.sync_relation s using (schema_name, table_name) where s.sync = ${quoteLiteral(sync)}) truncation`;
  const tables = [...deltaNames.map((name) => `bucardo.${quoteIdentifier(name)}`), truncations];
  const parts = tables.flatMap((table) => {
    const first = (which: string): string =>
      `exists (select from (select txid from ${table} where ${which} and ${shown} order by txid limit 1) first)`;
    return [
      first(`txid >= ${xmax}`),
      ...(running.length === 0 ? [] : [first(`txid in (${running.join(', ')})`)]),
    ];
  });
  const { waiting } = await source.row<{ waiting: boolean }>(`select ${parts.join(' or ')} as waiting`);
  return waiting;
}

function notDone(lane: Lane, detail: string): BucardoError {
  return new BucardoError('BUC-LANE-NOT-DONE', { sync: lane.sync, database: lane.destination, detail });
}
