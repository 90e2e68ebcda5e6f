/**
 * A lane's run: take the lane's lock at the destination, then batch after batch of what is pending, with a chunk of a first
 * copy between two batches, until nothing is left or the time is up. It may die anywhere; what it had not recorded is
 * done again.
 */
import type { Lane, Sync } from '../config/types.ts';
import { findSync } from '../config/lanes.ts';
import { adoptSource } from '../capture/adopt-source.ts';
import { readIdentity } from '../capture/source-identity.ts';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import type { Connection, ConnectOptions } from '../postgres/connection.ts';
import { errorFields, type LogFields } from '../telemetry/log.ts';
import { withPostgresDestination } from '../targets/postgres/open-destination.ts';
import type { ApplyMode, Destination } from '../targets/target.ts';
import { type BegunRun, beginRun } from './begin-run.ts';
import { holdCopy } from './copy-record.ts';
import type { LaneRunContext, LaneRunOutcome } from './lane-run.ts';
import type { LaneState } from './lane-state.ts';
import type { LargeTransaction } from './large-transaction.ts';
import { recordWrites } from './record-batch.ts';
import { type FailedRun, recordFailure, recordRun } from './lane-status.ts';
import { Pace, writeNote } from './pace.ts';
import { type BatchSettings, runBatch } from './run-batch.ts';
import { type CopyAttempt, runCopyStep } from './run-copy.ts';

/** On a busy source a run may last as long as the function may; its status must not be as old. */
const RECORD_EVERY_MS = 1_000;

/** So often a batch begins again because tables changed; then these are left out. */
const MOST_CHANGES = 5;

/** @throws what ended the run; it is recorded on the source if that can be reached */
export async function runLane(lane: Lane, context: LaneRunContext): Promise<LaneRunOutcome> {
  const run = new LaneRun(lane, findSync(context.fleet, lane.sync), context);
  try {
    return await run.run();
  } catch (error) {
    const known = asBucardoError(error).with({ sync: lane.sync });
    // A lane that is busy is well; its other run says how it went.
    if (known.code === 'BUC-LANE-BUSY' || known.code === 'BUC-LANE-OVERTAKEN') throw known;
    await run
      .withSource((source) => recordFailure(source, lane, known, run.failed))
      .catch(() => {
        context.log('warn', 'lane.failure.unrecorded', { sync: lane.sync, destination: lane.destination });
      });
    throw known;
  }
}

class LaneRun {
  readonly #lane: Lane;
  readonly #context: LaneRunContext;
  /** Of `performance.now()`, which no correction of the clock moves. */
  readonly #startedAtMs = performance.now();
  /** When the first and the last batch that came to its end looked at the source, by its clock. */
  #firstLook: string | undefined;
  #lastLook: string | undefined;
  #rows = 0;
  #batches = 0;
  #recordedRows = 0;
  #recordedAtMs = 0;
  #adopted = false;
  readonly #pace: Pace;

  constructor(lane: Lane, sync: Sync, context: LaneRunContext) {
    this.#lane = lane;
    this.#context = context;
    this.#pace = new Pace({
      batchRows: sync.batchRows,
      deadlineMs: context.deadlineMs,
      writeNote: (deltas) => this.#note(deltas),
    });
  }

  async run(): Promise<LaneRunOutcome> {
    const options = await this.#options(this.#lane.destination);
    const end = await withPostgresDestination(this.#context.connections, options, this.#lane, (destination) =>
      this.#untilDone(destination),
    );
    // A paused lane that did nothing has nothing to say of itself.
    if (end === 'paused') this.#context.log('info', 'lane.run.paused', this.#names());
    if (end !== 'paused' || this.#batches > 0) await this.#record();
    return { rows: this.#rows, batches: this.#batches, more: end === 'time is up' };
  }

  /** What is to be recorded of it if it failed. */
  get failed(): FailedRun {
    const newRows = this.#rows - this.#recordedRows;
    return { lookedAt: this.#firstLook, startedAtMs: this.#startedAtMs, newRows };
  }

  async withSource<Result>(body: (source: Connection) => Promise<Result>): Promise<Result> {
    return await this.#context.connections.with(await this.#options(this.#lane.source), body);
  }

  readonly #withAhead: BatchSettings['withAhead'] = async (body) => {
    const options = await this.#options(this.#lane.source);
    return await this.#context.connections.with({ ...options, purpose: `${options.purpose} ahead` }, body);
  };

  /** How the run came to its end. */
  async #untilDone(destination: Destination): Promise<'done' | 'time is up' | 'paused'> {
    const run = await this.#begin(destination);
    for (;;) {
      const batch = await this.#batch(destination, run);
      if (batch === 'paused' || batch === 'time is up') return batch;
      if (this.#timeIsUp()) return 'time is up';
      const copied = await this.#copyStep(destination, run, batch.state);
      if (!batch.more && !copied) return 'done';
      if (this.#batches > 0 && Date.now() - this.#recordedAtMs > RECORD_EVERY_MS) await this.#record();
      if (this.#timeIsUp()) return 'time is up';
    }
  }

  /** Applies one batch, in as many attempts as it takes. */
  async #batch(
    destination: Destination,
    run: BegunRun,
  ): Promise<{ readonly state: LaneState; readonly more: boolean } | 'paused' | 'time is up'> {
    let mode: ApplyMode = destination.modes[0];
    let failed: ReadonlyMap<string, BucardoError> = new Map();
    let changes = 0;
    for (;;) {
      const settings = {
        lane: this.#lane,
        destination,
        run: run.number,
        pace: this.#pace,
        mode,
        withAhead: this.#withAhead,
        failed,
      };
      const outcome = await this.#withSameSource(run, async (source) => {
        const result = await runBatch(source, settings);
        // What was not read to its end has left the connection in the middle of a stream.
        if (result.kind === 'again') await source.abort();
        return result;
      });
      switch (outcome.kind) {
        case 'paused':
          return 'paused';
        case 'copy wanted':
          this.#looked(outcome.state);
          return { state: outcome.state, more: true };
        case 'idle':
          this.#looked(outcome.state);
          return { state: outcome.state, more: false };
        case 'done':
          this.#looked(outcome.state);
          this.#count(outcome);
          // A batch with news may have been followed by more while it ran.
          return { state: outcome.state, more: outcome.more || outcome.rows > 0 };
        case 'again':
          this.#log('lane.batch.again', outcome.error, outcome.mode);
          ({ mode, failed } = outcome);
          break;
        case 'changed':
          changes += 1;
          this.#context.log('info', 'lane.batch.changed', {
            ...this.#names(),
            relations: outcome.relations.join(', '),
          });
          if (changes > 2 * MOST_CHANGES) throw this.#neverTheSame();
          failed =
            changes < MOST_CHANGES
              ? outcome.failed
              : new Map([...this.#everChanging(outcome.relations), ...outcome.failed]);
          break;
        case 'other place':
        case 'other run':
          throw this.#overtaken();
        case 'no time':
          return 'time is up';
        case 'large begun':
          this.#logLarge(outcome.large);
          break;
        case 'overtaken':
          this.#context.log('info', 'lane.batch.overtaken', this.#names());
          break;
      }
    }
  }

  /** Takes a number on both sides. A source that was moved is adopted first. */
  async #begin(destination: Destination): Promise<BegunRun> {
    for (;;) {
      const begun = await this.withSource(async (source) => {
        const run = await beginRun(source, destination, this.#lane, this.#context.log);
        if (run === undefined) await this.#adopt(source);
        return run;
      });
      if (begun !== undefined) return begun;
    }
  }

  /** A source that fails over under a run may have lost what the run has delivered; the next run's beginning finds out. */
  async #withSameSource<Result>(
    run: BegunRun,
    body: (source: Connection) => Promise<Result>,
  ): Promise<Result> {
    return await this.withSource(async (source) => {
      const { place, timeline } = await readIdentity(source);
      if (place !== run.identity.place || timeline !== run.identity.timeline) throw this.#overtaken();
      return await body(source);
    });
  }

  #overtaken(): BucardoError {
    const { sync, source } = this.#lane;
    return new BucardoError('BUC-LANE-OVERTAKEN', { sync, database: source });
  }

  /** One run does so once: the source is at home then, or it will not be so by being adopted again and again. */
  async #adopt(source: Connection): Promise<void> {
    if (this.#adopted) throw new BucardoError('BUC-SOURCE-UNSTEADY', { database: source.database });
    this.#adopted = true;
    await adoptSource(source);
    this.#context.log('warn', 'lane.source.restored', { ...this.#names(), source: this.#lane.source });
  }

  #neverTheSame(): BucardoError {
    const detail = 'tables were changed each time that they were to be read';
    return new BucardoError('BUC-DB-LOCKED', { sync: this.#lane.sync, database: this.#lane.source, detail });
  }

  /** Tables that were never the same when they were to be read: they wait like locked ones. */
  #everChanging(relations: readonly string[]): ReadonlyMap<string, BucardoError> {
    const detail = 'it was changed each time that it was to be read';
    return new Map(
      relations.map((relation) => [
        relation,
        new BucardoError('BUC-TABLE-LOCKED', { database: this.#lane.source, relation, detail }),
      ]),
    );
  }

  /** Returns whether a copy made progress. */
  async #copyStep(destination: Destination, run: BegunRun, state: LaneState): Promise<boolean> {
    let attempt: CopyAttempt = { mode: 'fill', opened: undefined };
    for (;;) {
      const settings = { lane: this.#lane, destination, state, attempt };
      const outcome = await this.#withSameSource(run, async (source) => {
        const result = await runCopyStep(source, settings);
        if (result.kind === 'again' || result.kind === 'refused') await source.abort();
        return result;
      });
      switch (outcome.kind) {
        case 'nothing to copy':
          return false;
        case 'advanced':
          this.#count(outcome);
          for (const relation of outcome.skipped ?? [])
            this.#context.log('warn', 'lane.copy.skipped', { ...this.#names(), relation });
          return true;
        case 'again':
          await this.#recordWrites(destination);
          ({ attempt } = outcome);
          this.#log('lane.copy.again', outcome.error, attempt.mode);
          break;
        case 'overtaken':
          this.#context.log('info', 'lane.copy.overtaken', this.#names());
          return true;
        case 'refused': {
          const { relation, error } = outcome;
          this.#log('lane.copy.held', error, attempt.mode);
          await this.#recordWrites(destination);
          const tried = { attempts: (relation.hold?.attempts ?? 0) + 1, lookedAt: state.lookedAt };
          await this.withSource((source) => holdCopy(source, this.#lane, relation, error, tried));
          return true;
        }
      }
    }
  }

  #looked({ lookedAt }: LaneState): void {
    this.#firstLook ??= lookedAt;
    this.#lastLook = lookedAt;
  }

  /** A step that failed may have written all the same: a table is emptied in pieces. */
  async #recordWrites({ written }: Destination): Promise<void> {
    await this.withSource((source) => recordWrites(source, this.#lane, written));
  }

  #count({ rows }: { readonly rows: number }): void {
    this.#rows += rows;
    this.#batches += 1;
  }

  async #record(): Promise<void> {
    const run = {
      startedAt: this.#firstLook,
      lookedAt: this.#lastLook,
      seconds: (performance.now() - this.#startedAtMs) / 1000,
      rows: this.#rows,
      batches: this.#batches,
      newRows: this.#rows - this.#recordedRows,
      deltasPerSecond: this.#pace.rate,
    };
    await this.withSource((source) => recordRun(source, this.#lane, run));
    this.#recordedRows = run.rows;
    this.#recordedAtMs = Date.now();
  }

  /** The batch goes on without a note if it cannot be written: the note only helps if the batch is killed. */
  async #note(deltas: number): Promise<void> {
    try {
      await this.#withAhead((session) => writeNote(session, this.#lane, deltas));
    } catch (error) {
      this.#log('lane.batch.unnoted', asBucardoError(error), 'note');
    }
  }

  #logLarge({ places }: Pick<LargeTransaction, 'places'>): void {
    const deltas = Object.values(places).reduce((sum, place) => sum + place.deltas, 0);
    this.#context.log('warn', 'lane.transaction.divided', { ...this.#names(), deltas });
  }

  #timeIsUp(): boolean {
    return Date.now() >= this.#context.deadlineMs;
  }

  #log(event: string, error: BucardoError, mode: string): void {
    this.#context.log('warn', event, { ...errorFields(error), ...this.#names(), mode });
  }

  #names(): LogFields {
    return { sync: this.#lane.sync, destination: this.#lane.destination };
  }

  async #options(name: string): Promise<ConnectOptions> {
    const database = this.#context.fleet.databases.get(name);
    if (database === undefined)
      throw new BucardoError('BUC-LANE-UNKNOWN', { sync: this.#lane.sync, database: name });
    const url = await this.#context.resolveUrl(database);
    return { database: name, url, purpose: `lane ${this.#lane.id}` };
  }
}
