/**
 * One run's measure of its lane: how large the next batch may be, and the note at the source that a batch has begun. The note
 * is taken away in the transaction that records the batch, so a note that a run finds is a batch whose run died.
 */
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import {
  type BatchHistory,
  type BatchTime,
  nextRate,
  type OversizedPlan,
  planBatchDeltas,
  planOversized,
} from './batch-size.ts';

/** From so many deltas on a batch is noted before it begins: it is no single change any more, whose latency shows. */
const NOTED_AT_ONCE = 1_000;

/** A smaller one is noted if it takes as long as this: its rows are large, or its target is slow. */
const NOTED_AFTER_MS = 1_000;

export interface PaceSettings {
  readonly batchRows: number;
  /** Milliseconds since 1970. */
  readonly deadlineMs: number;
  /** Writes the note, in another session than the batch's. Does not fail. */
  readonly writeNote: (deltas: number) => Promise<void>;
}

export class Pace {
  readonly #settings: PaceSettings;
  readonly #startedAtMs = Date.now();
  #rate: number | undefined;
  /** What was found unfinished, while a note of this run stands in its place. */
  #found: number | undefined;
  #noted = false;
  /** After a batch that did not end: each success allows twice as much. */
  #limit: number | undefined;

  constructor(settings: PaceSettings) {
    this.#settings = settings;
  }

  /** Deltas per second, once this run has measured them. */
  get rate(): number | undefined {
    return this.#rate;
  }

  /** @param history as the source has it */
  batchDeltas(history: BatchHistory): number {
    const current = this.#current(history);
    const planned = planBatchDeltas(this.#settings.batchRows, current, this.#time());
    if (current.unfinished !== undefined) this.#limit = planned;
    return Math.min(planned, this.#limit ?? planned);
  }

  oversized(deltas: number, history: BatchHistory): OversizedPlan {
    if (this.#limit !== undefined && deltas > this.#limit) return 'in parts';
    return planOversized(deltas, this.#settings.batchRows, this.#current(history), this.#time());
  }

  /** Whether there is a note to be taken away when the batch is recorded. */
  isNoted(history: BatchHistory): boolean {
    return this.#noted || history.unfinished !== undefined;
  }

  /** Runs `body`, which applies so many deltas, under a note. */
  async under<Result>(deltas: number, history: BatchHistory, body: () => Promise<Result>): Promise<Result> {
    if (!this.#noted) this.#found = history.unfinished;
    const note = async (): Promise<void> => {
      this.#noted = true;
      await this.#settings.writeNote(deltas);
    };
    // Where a note is there already, this smaller attempt takes its place, or it would be tried again and again.
    if (deltas > NOTED_AT_ONCE || history.unfinished !== undefined) {
      await note();
      return await body();
    }
    let writing: Promise<void> | undefined;
    const timer = setTimeout(() => {
      writing = note();
    }, NOTED_AFTER_MS);
    try {
      return await body();
    } finally {
      clearTimeout(timer);
      await writing;
    }
  }

  /** The batch is recorded, and its note gone. */
  ended(deltas: number, seconds: number, history: BatchHistory): void {
    this.#noted = false;
    this.#found = undefined;
    if (this.#limit !== undefined) this.#limit *= 2;
    if (deltas > 0) this.#rate = nextRate(this.#rate ?? history.rate, deltas, seconds);
  }

  #current(history: BatchHistory): BatchHistory {
    return {
      rate: this.#rate ?? history.rate,
      unfinished: this.#noted ? this.#found : history.unfinished,
    };
  }

  #time(): BatchTime {
    const { deadlineMs } = this.#settings;
    return { whole: (deadlineMs - this.#startedAtMs) / 1000, left: (deadlineMs - Date.now()) / 1000 };
  }
}

/** $1 sync, $2 destination, $3 deltas. Locks the lane's status for the moment of the update. */
export async function writeNote(
  source: Connection,
  { sync, destination }: Lane,
  deltas: number,
): Promise<void> {
  await source.run(`update bucardo.lane_status set begun_deltas = $3 where (sync, destination) = ($1, $2)`, [
    sync,
    destination,
    deltas,
  ]);
}

/** In the transaction that records the batch. */
export async function removeNote(source: Connection, { sync, destination }: Lane): Promise<void> {
  await source.run(
    `update bucardo.lane_status set begun_deltas = null
     where (sync, destination) = ($1, $2) and begun_deltas is not null`,
    [sync, destination],
  );
}
