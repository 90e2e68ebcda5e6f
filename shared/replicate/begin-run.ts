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

interface MemoryRow {
  readonly run: string;
  readonly writes: string | null;
  readonly timeline: string | null;
  readonly xmax: string;
  readonly home: boolean;
}

/** $1 sync, $2 destination. One row if the lane is registered: what the source remembers of it. Takes no locks. */
const READ_MEMORY = `
  select p.run::text, p.writes::text, p.timeline::text, ${markIsFromHere('p')} as home,
    txid_snapshot_xmax(txid_current_snapshot())::text as xmax
  from bucardo.progress p where (p.sync, p.destination) = ($1, $2)`;

/**
 * $1 sync, $2 destination, $3 the run's number. Changes one row, or none if the source has that number or a greater one already. A
 * statement of a killed run may still reach the source after this run's: its number is smaller, so it changes nothing.
 */
const TAKE = `
  update bucardo.progress set run = $3::bigint where (sync, destination) = ($1, $2) and run < $3::bigint`;

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
  const [found, row] = await Promise.all([readMemory(source, lane), destination.raise(identity.place)]);
  if (!found.home) return undefined;
  const number = await takeNumber(source, destination, lane, BigInt(found.run), row);

  const memory = {
    run: BigInt(found.run),
    writes: found.writes === null ? undefined : BigInt(found.writes),
    timeline: found.timeline === null ? undefined : Number(found.timeline),
  };
  const now = { timeline: identity.timeline, xmax: BigInt(found.xmax) };
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
    const values = [writes === undefined ? null : String(writes), timeline ?? null, String(number)];
    await source.run(REMEMBER, [lane.sync, lane.destination, ...values]);
  }
  return { number, identity };
}

/** $1 sync, $2 destination, $3 the destination's count, $4 the source's timeline, $5 the run, which must not be over. */
const REMEMBER = `
  update bucardo.progress set writes = $3::bigint, timeline = $4::bigint
  where (sync, destination) = ($1, $2) and run = $5::bigint`;

async function readMemory(source: Connection, lane: Lane): Promise<MemoryRow> {
  const concern = { sync: lane.sync, database: lane.source };
  let row: MemoryRow | undefined;
  try {
    [row] = await source.rowsPrepared<MemoryRow>(READ_MEMORY, [lane.sync, lane.destination]);
  } catch (error) {
    throw asNotApplied(error, concern);
  }
  if (row === undefined) throw new BucardoError('BUC-NOT-APPLIED', concern);
  return row;
}

/**
 * The destination's number, unless the source has had it: then the next one that neither has had. The numbers differ after a run that
 * died between the two, after one of the databases went back in time, and where the destination has no row.
 *
 * @param known the source's number as it was read
 */
async function takeNumber(
  source: Connection,
  destination: Destination,
  lane: Lane,
  known: bigint,
  row: LaneRow | 'absent' | 'forbidden',
): Promise<bigint> {
  let atSource = known;
  let number = typeof row === 'string' ? 0n : row.run;
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    if (number <= atSource) {
      number = atSource + 1n;
      await destination.raiseTo(number);
    }
    const taken = await source.runPrepared(TAKE, [lane.sync, lane.destination, String(number)]);
    if (taken > 0) return number;
    atSource = BigInt((await readMemory(source, lane)).run);
  }
  throw new BucardoError('BUC-LANE-OVERTAKEN', { sync: lane.sync, database: lane.source });
}

/** Only a killed run's last statement can come in between, once. */
const MOST_ATTEMPTS = 3;
