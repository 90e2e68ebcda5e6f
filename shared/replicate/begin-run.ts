/**
 * The beginning of a lane's run: it takes a number at the destination and at the source, and compares what both remember of
 * the lane. Whatever went back in time is brought to a state that is true: what is still to be had becomes pending, and what is
 * not is reported as needing a copy.
 */
import { asNotApplied } from '../capture/not-applied.ts';
import { markIsFromHere, readIdentity, type SourceIdentity } from '../capture/source-identity.ts';
import type { Lane } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import type { Destination, LaneRow } from '../targets/target.ts';
import type { Log } from '../telemetry/log.ts';
import { compareReceipt } from './compare-receipt.ts';
import { destinationWentBack, readReceipt, sourceWentBack } from './went-back.ts';

/** A run that has begun. */
export interface BegunRun {
  readonly number: bigint;
  /** Of the source; another one later means that the source failed over under the run. */
  readonly identity: SourceIdentity;
}

interface RaisedRow {
  readonly run: string;
  readonly runBefore: string;
  readonly writes: string | null;
  readonly timeline: string | null;
  readonly xmax: string;
  readonly home: boolean;
}

/**
 * $1 sync, $2 destination. One row if the lane is registered: the run's number, and what was recorded before. Locks the
 * lane's row for itself only.
 */
const RAISE = `
  with before as (
    select p.run, p.writes, p.timeline, ${markIsFromHere('p')} as home
    from bucardo.progress p where (p.sync, p.destination) = ($1, $2) for update
  )
  update bucardo.progress p set run = p.run + 1
  from before where (p.sync, p.destination) = ($1, $2)
  returning p.run::text, before.run::text as "runBefore", before.writes::text, before.timeline::text, before.home,
    txid_snapshot_xmax(txid_current_snapshot())::text as xmax`;

/** $1 sync, $2 destination, $3 the greater number. */
const RAISE_TO = `update bucardo.progress set run = $3::bigint where (sync, destination) = ($1, $2) and run < $3::bigint`;

/**
 * Both numbers are committed when it returns, and equal; the source's snapshots come after that.
 *
 * @returns undefined if the source is in another place than its control tables say: they must be adopted first
 * @throws BUC-NOT-APPLIED
 */
export async function beginRun(
  source: Connection,
  destination: Destination,
  lane: Lane,
  log: Log,
): Promise<BegunRun | undefined> {
  const identity = await readIdentity(source);
  const [raised, row] = await Promise.all([raiseAtSource(source, lane), destination.raise(identity.place)]);
  if (!raised.home) return undefined;
  const number = await sameNumber(source, destination, lane, BigInt(raised.run), row);

  const memory = {
    run: BigInt(raised.runBefore),
    writes: raised.writes === null ? undefined : BigInt(raised.writes),
    timeline: raised.timeline === null ? undefined : Number(raised.timeline),
  };
  const now = { timeline: identity.timeline, xmax: BigInt(raised.xmax) };
  const compared = compareReceipt(memory, now, row);
  const names = { sync: lane.sync, destination: lane.destination };
  if (compared.destinationWentBack) {
    const found = await destinationWentBack(source, lane, typeof row === 'string' ? undefined : row);
    log('warn', 'lane.target.restored', { ...names, ...found });
  }
  if (compared.sourceWentBack) {
    await sourceWentBack(source, lane);
    log('warn', 'lane.source.restored', { ...names, source: lane.source });
  }
  if (typeof row !== 'string' && (compared.sourceWentBack || compared.first)) {
    await destination.stamp(await readReceipt(source, lane));
  }
  // Without the right to look the count stays what it was.
  const writes = row === 'forbidden' ? memory.writes : destination.written;
  const timeline = identity.timeline ?? memory.timeline;
  if (writes !== memory.writes || timeline !== memory.timeline) {
    const values = [writes === undefined ? null : String(writes), timeline ?? null];
    await source.run(REMEMBER, [lane.sync, lane.destination, ...values]);
  }
  return { number, identity };
}

/** $1 sync, $2 destination, $3 the destination's count, $4 the source's timeline. */
const REMEMBER = `
  update bucardo.progress set writes = $3::bigint, timeline = $4::bigint where (sync, destination) = ($1, $2)`;

async function raiseAtSource(source: Connection, lane: Lane): Promise<RaisedRow> {
  const concern = { sync: lane.sync, database: lane.source };
  let row: RaisedRow | undefined;
  try {
    [row] = await source.rowsPrepared<RaisedRow>(RAISE, [lane.sync, lane.destination]);
  } catch (error) {
    throw asNotApplied(error, concern);
  }
  if (row === undefined) throw new BucardoError('BUC-NOT-APPLIED', concern);
  return row;
}

/** Numbers differ after a run that died between the two, and after one of the two databases went back in time. */
async function sameNumber(
  source: Connection,
  destination: Destination,
  lane: Lane,
  atSource: bigint,
  row: LaneRow | 'absent' | 'forbidden',
): Promise<bigint> {
  const atDestination = typeof row === 'string' ? atSource : row.run;
  if (atDestination < atSource) await destination.raiseTo(atSource);
  if (atDestination > atSource)
    await source.run(RAISE_TO, [lane.sync, lane.destination, String(atDestination)]);
  return atDestination > atSource ? atDestination : atSource;
}
