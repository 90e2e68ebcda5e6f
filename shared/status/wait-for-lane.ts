/** Waiting until a lane has brought over everything that was committed at some moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asNotApplied } from '../capture/not-applied.ts';
import type { Lane } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { NOTHING, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';

/** What has to arrive: all that this snapshot of the source shows. */
export interface Goal {
  readonly snapshot: Snapshot;
  /** The source's clock when it was read; failures before it do not count. */
  readonly at: string;
}

export async function readGoal(source: Connection): Promise<Goal> {
  const { snapshot, at } = await source.row<{ snapshot: string; at: string }>(
    `select txid_current_snapshot()::text as snapshot, clock_timestamp()::text as at`,
  );
  return { snapshot: parseSnapshot(snapshot), at };
}

const LOOK_EVERY_MS = 100;

/** A row that a batch refused is made pending again three times, each time behind everything else; one look more. */
const MOST_EXTENSIONS = 4;

/**
 * Resolves when nothing of `goal` is pending and no copy is unfinished. As long as rows are parked the goal moves on: they may
 * be pending again, under ids that it does not have.
 * @throws BUC-NOT-APPLIED, BUC-LANE-NOT-DONE with the lane's error, or when the time is up
 */
export async function waitForLane(
  source: Connection,
  lane: Lane,
  goal: Goal,
  timeoutSeconds: number,
): Promise<void> {
  const deadlineMs = Date.now() + timeoutSeconds * 1000;
  let reached = goal;
  let extensions = 0;
  for (;;) {
    const look = await readLane(source, lane, goal);
    if (look.error !== null) throw notDone(lane, look.error);
    if (look.paused) throw notDone(lane, `the lane is paused; bucardo resume ${lane.sync}`);
    if (look.held !== null) throw notDone(lane, look.held);
    if (!look.copying && !(await isWaiting(source, look, reached))) {
      if (!look.parked || extensions === MOST_EXTENSIONS) return;
      extensions += 1;
      reached = await readGoal(source);
      continue;
    }
    if (Date.now() > deadlineMs) throw notDone(lane, `not finished after ${timeoutSeconds} seconds`);
    await sleep(LOOK_EVERY_MS);
  }
}

interface Look {
  readonly mark: string | null;
  readonly error: string | null;
  readonly held: string | null;
  readonly copying: boolean;
  readonly parked: boolean;
  readonly paused: boolean;
  readonly deltaNames: readonly string[];
}

/** $1 sync, $2 destination, $3 since when failures count. One row if the lane is registered; takes no locks. */
const READ_LANE = `
  select p.mark::text as mark,
    (select s.error_detail from bucardo.lane_status s
     where (s.sync, s.destination) = ($1, $2) and s.error_at > $3::timestamptz) as error,
    (select min(h.error_detail) from bucardo.held_relation h where (h.sync, h.destination) = ($1, $2)) as held,
    exists (select from bucardo.copy c where (c.sync, c.destination) = ($1, $2)) as copying,
    exists (select from bucardo.rejected_row j where (j.sync, j.destination) = ($1, $2)) as parked,
    exists (select from bucardo.lane_status s
            where (s.sync, s.destination) = ($1, $2) and s.paused_at is not null) as paused,
    array(select r.delta_name from bucardo.sync_relation sr join bucardo.relation r using (schema_name, table_name)
          where sr.sync = $1) as "deltaNames"
  from bucardo.progress p where (p.sync, p.destination) = ($1, $2)`;

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

/** Whether a delta that the goal's snapshot showed is not covered by the lane's mark. */
async function isWaiting(
  source: Connection,
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
  const parts = deltaNames.flatMap((name) => {
    const table = `bucardo.${quoteIdentifier(name)}`;
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
