/**
 * How much one batch of a lane may have, so that it ends long before its function does. Pure. A batch that is killed records nothing,
 * and the next run would begin the very same one: so the size follows from what the lane measured, and what was begun but
 * not ended is tried in quarters.
 */

/** What is known of a lane's batches so far. */
export interface BatchHistory {
  /** Deltas per second of the last batches; undefined before the first. */
  readonly rate: number | undefined;
  /** Deltas of a batch that was begun and never recorded: its run was killed or failed. */
  readonly unfinished: number | undefined;
}

/** The function's time, seconds. */
export interface BatchTime {
  readonly whole: number;
  readonly left: number;
}

/** Before anything was measured: under two seconds for a target that takes 10,000 rows a second. */
const FIRST_DELTAS = 20_000;

/** One batch's share of the function's time. Other lanes' functions and a slower hour leave room to be wrong by ten. */
const SHARE_OF_TIME = 1 / 10;

/** The share that one transaction may take, so as to arrive whole: it is worth more time than a batch. */
const SHARE_FOR_WHOLE_TRANSACTION = 1 / 3;

/** Deltas per second, before anything was measured. Measured on two cores: 30,000 to 100,000. */
const CAUTIOUS_RATE = 10_000;

/** Fewer deltas than this show what a round trip takes, not what a delta takes. */
const TELLING_DELTAS = 1_000;
const TELLING_SECONDS = 1;

/** However slow: each batch has its own cost. */
const FEWEST_DELTAS = 100;

/** Each attempt that did not end makes the next one so much smaller. */
const QUARTER = 4;

/** @returns the greatest number of deltas of the next batch, at least 1, at most `batchRows` */
export function planBatchDeltas(
  batchRows: number,
  { rate, unfinished }: BatchHistory,
  time: BatchTime,
): number {
  const seconds = Math.min(time.whole * SHARE_OF_TIME, Math.max(time.left, 0));
  const byRate = rate === undefined ? FIRST_DELTAS : Math.max(FEWEST_DELTAS, Math.round(rate * seconds));
  const byFailure = unfinished === undefined ? batchRows : quarterOf(unfinished);
  return Math.min(batchRows, byRate, byFailure);
}

/** How a transaction with more deltas than a batch may have is delivered. */
export type OversizedPlan =
  /** In one transaction of the target. */
  | 'whole'
  /** In one transaction of the target, by a run that has more time left. */
  | 'whole, later'
  | 'in parts';

export function planOversized(
  deltas: number,
  batchRows: number,
  { rate, unfinished }: BatchHistory,
  time: BatchTime,
): OversizedPlan {
  if (unfinished !== undefined && deltas > quarterOf(unfinished)) return 'in parts';
  const seconds = deltas / (rate ?? CAUTIOUS_RATE);
  const untried = rate === undefined && deltas <= batchRows;
  if (!untried && seconds > time.whole * SHARE_FOR_WHOLE_TRANSACTION) return 'in parts';
  return seconds > time.left && time.left < time.whole * (1 - SHARE_FOR_WHOLE_TRANSACTION)
    ? 'whole, later'
    : 'whole';
}

/** The rate after one more batch: a slower one counts at once, a faster one by half. */
export function nextRate(rate: number | undefined, deltas: number, seconds: number): number | undefined {
  if (deltas < TELLING_DELTAS && seconds < TELLING_SECONDS) return rate;
  const measured = deltas / Math.max(seconds, 0.001);
  return rate === undefined || measured < rate ? measured : (rate + measured) / 2;
}

function quarterOf(deltas: number): number {
  return Math.max(1, Math.floor(deltas / QUARTER));
}
