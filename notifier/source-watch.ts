/**
 * One source's wake-up protocol with its connection, timer and queue: carries out the effects that protocol.ts decides on
 * and reports back what came of them. Invariant: one effect at a time; whatever an earlier connection still says is not heard.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WAKE_CHANNEL } from '../shared/capture/control-schema.ts';
import { lanesOfSync } from '../shared/config/lanes.ts';
import type { Database, Sync } from '../shared/config/types.ts';
import { asBucardoError, BucardoError } from '../shared/errors/bucardo-error.ts';
import type { ErrorCode } from '../shared/errors/codes.ts';
import { type Connection, connect } from '../shared/postgres/connection.ts';
import { errorFields, type Log } from '../shared/telemetry/log.ts';
import type { KickSink } from './kick-sink.ts';
import { prepareToLook, type Registry, readLook, UNREAD } from './look.ts';
import {
  decide,
  type Effect,
  initialState,
  type Interruption,
  type Outcome,
  type WakeState,
} from './protocol.ts';
import type { Timing } from './timing.ts';
import { arm, disarm, disarmForGood, readWake } from './wake-flag.ts';

export interface SourceWatchOptions {
  readonly database: Database;
  /** The syncs that read from this database and are kicked by changes. */
  readonly syncs: readonly Sync[];
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly queue: KickSink;
  readonly log: Log;
  readonly timing: Timing;
}

export interface SourceHealth {
  /** `idle` sleeps until a change notifies; `busy` coalesces changes. */
  readonly state: 'connecting' | 'not-applied' | 'failing' | 'queue-failing' | 'busy' | 'idle' | 'stopped';
  /** Whether a look succeeded lately. */
  readonly well: boolean;
  /** Instants in ISO 8601. */
  readonly connectedSince: string | undefined;
  readonly lastLook: string | undefined;
  readonly lastKick: string | undefined;
  /** The error that lasts, if one does. */
  readonly error: ErrorCode | undefined;
}

/** A connection and what is known about the source over it. */
interface Session {
  readonly connection: Connection;
  readonly sinceMs: number;
  registry: Registry;
}

const BUCARDO_KICK = /^kick_sync_(\w+)$/;

export class SourceWatch {
  /** Resolves when the first kicks are sent and no later change can be missed, or when the first attempt has failed. */
  readonly ready: Promise<void>;
  readonly #options: SourceWatchOptions;
  readonly #syncs: ReadonlyMap<string, Sync>;
  readonly #startedAtMs = Date.now();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #settled = Promise.withResolvers<void>();
  #state: WakeState;
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastLookMs: number | undefined;
  #lastKickMs: number | undefined;
  #sourceError: ErrorCode | undefined;
  #queueError: ErrorCode | undefined;

  constructor(options: SourceWatchOptions) {
    this.#options = options;
    this.#syncs = new Map(options.syncs.map((sync) => [sync.name, sync]));
    this.#state = initialState(options.timing);
    this.ready = this.#settled.promise;
  }

  start(): void {
    this.#happened({ type: 'started' });
  }

  /** Finishes what is under way, leaves the source disarmed and closes the connection; cuts off what takes too long. */
  async stop(): Promise<void> {
    if (this.#state.phase !== 'stopped') this.#happened({ type: 'stop' });
    const grace = new AbortController();
    const late = sleep(this.#options.timing.stopGraceMs, undefined, { signal: grace.signal }).catch(() => {});
    await Promise.race([this.#stopped.promise, late]);
    grace.abort();
    this.#finish();
  }

  health(): SourceHealth {
    const lastSignOfLifeMs = this.#lastLookMs ?? this.#startedAtMs;
    return {
      state: this.#stateForPeople(),
      well: Date.now() - lastSignOfLifeMs < this.#options.timing.staleMs,
      connectedSince: instant(this.#session?.sinceMs),
      lastLook: instant(this.#lastLookMs),
      lastKick: instant(this.#lastKickMs),
      error: this.#sourceError ?? this.#queueError,
    };
  }

  #happened(event: Outcome | Interruption): void {
    if (this.#state.phase === 'stopped') return;
    const { state, effect } = decide(this.#state, event, performance.now(), this.#options.timing);
    this.#state = state;
    if (state.phase === 'asleep' || state.phase === 'window') this.#settled.resolve();
    if (state.phase === 'stopped') this.#finish();
    if (effect !== undefined) void this.#perform(effect);
  }

  /** Never rejects: every outcome is an event. */
  async #perform(effect: Effect): Promise<void> {
    clearTimeout(this.#timer);
    switch (effect.do) {
      case 'wait':
        return this.#wait(effect.ms);
      case 'rest':
        this.#drop();
        // Jitter: sources that went down together do not come back together.
        return this.#wait(effect.ms * (0.5 + Math.random() / 2));
      case 'send':
        return this.#happened(await this.#send(effect.syncs));
      case 'release':
        return this.#happened(await this.#release());
      case 'connect':
        return this.#happened(await this.#onSource(() => this.#connect()));
      case 'disarm':
        return this.#happened(await this.#onSource(() => this.#disarm()));
      case 'arm':
        return this.#happened(await this.#onSource(() => this.#arm()));
      case 'look':
        return this.#happened(await this.#onSource(() => this.#look(effect.seen)));
    }
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#happened({ type: 'elapsed' }), ms);
  }

  async #onSource(act: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await act();
    } catch (error) {
      this.#sourceFailed(error);
      return { type: 'failed' };
    }
  }

  async #disarm(): Promise<Outcome> {
    await this.#answer(disarm(this.#open().connection));
    return { type: 'disarmed' };
  }

  async #arm(): Promise<Outcome> {
    return { type: 'armed', barrier: await this.#answer(arm(this.#open().connection)) };
  }

  async #connect(): Promise<Outcome> {
    const { database, resolveUrl, timing } = this.#options;
    const opening = this.#answer(resolveUrl(database)).then((url) =>
      connect({
        database: database.name,
        url,
        purpose: 'notifier',
        connectTimeoutMs: timing.answerTimeoutMs,
      }),
    );
    let connection: Connection;
    try {
      connection = await this.#answer(opening);
    } catch (error) {
      // A connection that opens after we gave up belongs to nobody.
      void opening.then((late) => late.close()).catch(() => {});
      throw error;
    }
    if (this.#state.phase === 'stopped') {
      void connection.close();
      return { type: 'failed' };
    }
    const session = { connection, sinceMs: Date.now(), registry: UNREAD };
    this.#session = session;
    connection.onEnd(() => {
      if (this.#session === session) this.#happened({ type: 'ended' });
    });
    connection.onNotification((channel, payload) => {
      if (this.#session === session && channel === WAKE_CHANNEL) this.#onNotification(payload);
    });
    await this.#answer(prepareToLook(connection, timing.answerTimeoutMs));
    // From its commit on, nothing that is notified is missed; what came before is caught up with.
    if (database.wake !== 'poll') await this.#answer(connection.script(`listen ${WAKE_CHANNEL}`));
    return { type: 'connected', wake: await this.#answer(readWake(connection, database.wake)) };
  }

  #onNotification(payload: string): void {
    const [, name] = BUCARDO_KICK.exec(payload) ?? [];
    if (name === undefined) return this.#happened({ type: 'notified' });
    // Bucardo's triggers of a sync that is not ours, or that changes shall not kick.
    if (this.#syncs.has(name)) this.#happened({ type: 'notified', sync: name });
  }

  async #look(seen: WakeState['seen']): Promise<Outcome> {
    const session = this.#open();
    const syncs = [...this.#syncs.keys()];
    const found = await this.#answer(
      readLook(session.connection, { syncs, registry: session.registry, seen }),
    );
    session.registry = found.registry;
    if (seen === undefined) {
      this.#options.log('info', 'notifier.source.connected', {
        database: this.#options.database.name,
        syncs: new Set([...found.registry.syncsByDelta.values()].flat()).size,
        tables: found.registry.syncsByDelta.size,
        wake: this.#state.wake,
      });
    }
    this.#sourceError = undefined;
    this.#lastLookMs = Date.now();
    return { type: 'looked', snapshot: found.snapshot, syncs: found.syncs, armed: found.armed };
  }

  async #send(syncs: readonly string[]): Promise<Outcome> {
    const { queue, log, database, timing } = this.#options;
    const kicks = syncs
      .flatMap((name) => this.#syncs.get(name) ?? [])
      .flatMap(lanesOfSync)
      .map(({ id }) => ({ lane: id, reason: 'change' as const }));
    try {
      await within(
        timing.sendTimeoutMs,
        queue.send(kicks),
        () => new BucardoError('BUC-QUEUE-FAILED', { detail: `no answer within ${timing.sendTimeoutMs} ms` }),
      );
    } catch (error) {
      const known = asBucardoError(error);
      if (known.code !== this.#queueError) {
        log('warn', 'notifier.queue.failed', {
          ...errorFields(known),
          database: database.name,
          kicks: kicks.length,
        });
      }
      this.#queueError = known.code;
      this.#settled.resolve();
      return { type: 'unsent' };
    }
    if (this.#queueError !== undefined) log('info', 'notifier.queue.recovered', { database: database.name });
    this.#queueError = undefined;
    this.#lastKickMs = Date.now();
    log('debug', 'notifier.kicks.sent', { database: database.name, kicks: kicks.length });
    return { type: 'sent' };
  }

  async #release(): Promise<Outcome> {
    const session = this.#session;
    if (session !== undefined && this.#options.database.wake !== 'poll') {
      await this.#answer(disarmForGood(session.connection)).catch((error: unknown) =>
        this.#sourceFailed(error),
      );
    }
    this.#session = undefined;
    await session?.connection.close();
    return { type: 'released' };
  }

  #sourceFailed(error: unknown): void {
    const known = asBucardoError(error);
    if (known.code !== this.#sourceError && this.#state.phase !== 'stopped') {
      const event =
        known.code === 'BUC-NOT-APPLIED' ? 'notifier.source.not-applied' : 'notifier.source.failed';
      this.#options.log('warn', event, { ...errorFields(known), database: this.#options.database.name });
    }
    this.#sourceError = known.code;
    this.#settled.resolve();
  }

  #open(): Session {
    if (this.#session !== undefined) return this.#session;
    throw new BucardoError('BUC-DB-UNREACHABLE', {
      database: this.#options.database.name,
      detail: 'not connected',
    });
  }

  /** Not waited for: closing a half-dead connection may take as long as its answer. */
  #drop(): void {
    const session = this.#session;
    this.#session = undefined;
    void session?.connection.close();
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#state = { ...this.#state, phase: 'stopped' };
    this.#drop();
    this.#settled.resolve();
    this.#stopped.resolve();
  }

  #answer<Result>(promise: Promise<Result>): Promise<Result> {
    const { database, timing } = this.#options;
    return within(
      timing.answerTimeoutMs,
      promise,
      () =>
        new BucardoError('BUC-DB-UNREACHABLE', {
          database: database.name,
          detail: `no answer within ${timing.answerTimeoutMs} ms`,
        }),
    );
  }

  #stateForPeople(): SourceHealth['state'] {
    if (this.#state.phase === 'stopped' || this.#state.stopping) return 'stopped';
    if (this.#sourceError !== undefined) {
      return this.#sourceError === 'BUC-NOT-APPLIED' ? 'not-applied' : 'failing';
    }
    if (this.#queueError !== undefined) return 'queue-failing';
    if (this.#session === undefined) return 'connecting';
    return this.#state.phase === 'asleep' ? 'idle' : 'busy';
  }
}

/** What the promise gives, or a rejection after `ms`; a late outcome of the promise is nobody's. */
async function within<Result>(
  ms: number,
  promise: Promise<Result>,
  late: () => BucardoError,
): Promise<Result> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function instant(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
