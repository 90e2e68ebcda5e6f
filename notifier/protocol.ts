/**
 * The wake-up protocol for one source, as a pure state machine: what happened goes in, the one thing to do next comes
 * out. Invariant: `seen` covers a transaction only if a kick for its changes was accepted by the queue after they became
 * visible; and while the machine sleeps, every transaction that `seen` does not cover will notify, or is being watched.
 *
 * Interrupt when idle, poll when busy:
 *
 *   asleep ──notified──▶ disarm ▶ look ▶ send kicks ▶ window ▶ arm ▶ look ──something newer──▶ disarm …
 *     ▲                                                              └──nothing──▶ asleep, looking again at short
 *     └── timer: look ◀───────────────────────────────────────────────────────────  intervals until all is settled
 *
 * Why no change is missed. A writer inserts its deltas (which gives it an xid), then reads the flag, then notifies if it
 * read "armed".
 * - It read "armed": the notification comes with its commit, and every look that starts after the notification arrived sees the change.
 * - It read "disarmed": its xid was given out before the flag was set to armed, hence below the *barrier*, an xid that
 *   the notifier draws for itself afterwards. Looks go on until no transaction below the barrier is unfinished; the
 *   look that finds them all finished sees all their changes.
 *
 * The barrier is needed because a snapshot does not list every running transaction: ids from its xmax on are running or
 * not given out yet, and setting a sequence draws its own xid *before* it changes the sequence. A writer may get the next id and
 * read "disarmed" in between, and would then be in no snapshot's list. An id drawn after the flag was set is above all of them.
 *
 * The flag belongs to whoever sets it last. A second notifier of the source, or a statement of a lost connection that the
 * server carries out late, may disarm it behind a sleeper's back. Every look therefore reads the flag too, and a
 * heartbeat looks now and then: it arms again, and finds what was written meanwhile.
 *
 * One effect is under way at a time, and each ends in exactly one event; only `notified`, `ended` and `stop` come unasked.
 * Whatever fails at the source, the recovery is one and the same: connect again, assume that everything was missed.
 */
import type { Snapshot, Txid } from '../shared/postgres/snapshot.ts';
import type { Timing } from './timing.ts';

type Phase =
  | 'new'
  | 'connecting'
  /** Waiting before the next attempt to connect. */
  | 'resting'
  | 'disarming'
  | 'looking'
  | 'sending'
  /** Waiting before kicks are sent again that the queue did not take. */
  | 'holding'
  | 'window'
  | 'arming'
  /** The first look after arming. */
  | 'checking'
  | 'asleep'
  /** A later look, while nothing has notified. */
  | 'watching'
  | 'stopping'
  | 'stopped';

export interface WakeState {
  /** `poll`: no flag, nobody need notify, only looks at a fixed interval. Of the connection; before the first it means nothing. */
  readonly wake: 'notify' | 'poll';
  readonly phase: Phase;
  /** What kicks have been accepted for. Undefined: nothing is known, so every sync is to be kicked. */
  readonly seen: Snapshot | undefined;
  /** Becomes `seen` when the queue has accepted `outgoing`. */
  readonly looked: Snapshot | undefined;
  /** Syncs whose kicks are being sent. */
  readonly outgoing: readonly string[];
  /** Syncs to be kicked that are not yet part of `outgoing`: asked for by name, or found by a look while armed. */
  readonly due: readonly string[];
  /** A notification has arrived since the last look started. */
  readonly notified: boolean;
  /** The connection ended while kicks were being sent: they go first, then it is opened again. */
  readonly lost: boolean;
  readonly stopping: boolean;
  /** Every transaction that may have read "disarmed" has a smaller id. */
  readonly barrier: Txid;
  readonly windowMs: number;
  readonly asleepSinceMs: number;
  /** Connections in a row that came to nothing. */
  readonly failures: number;
  /** Attempts in a row that the queue refused. */
  readonly refusals: number;
}

/** What an effect came to. */
export type Outcome =
  | { readonly type: 'started' | 'disarmed' | 'sent' | 'unsent' | 'elapsed' | 'released' }
  /** Each connection has one way for its whole life: what decides it changes with a restart of the server only. */
  | { readonly type: 'connected'; readonly wake: WakeState['wake'] }
  /** @see WakeState.barrier */
  | { readonly type: 'armed'; readonly barrier: Txid }
  | ({ readonly type: 'looked' } & Look)
  /** An effect on the source failed. */
  | { readonly type: 'failed' };

/** What comes unasked. */
export type Interruption =
  /** `sync` if somebody asked for one by name. */
  | { readonly type: 'notified'; readonly sync?: string }
  /** The connection ended by itself. */
  | { readonly type: 'ended' }
  | { readonly type: 'stop' };

/** What one look found, all of it in `snapshot`. */
export interface Look {
  readonly snapshot: Snapshot;
  /** Syncs with changes that were not covered by what the look was given. */
  readonly syncs: readonly string[];
  /** Whether the flag was armed. */
  readonly armed: boolean;
}

export type Effect =
  /** Open a connection; listen, unless polling. Ends in `connected` or `failed`. */
  | { readonly do: 'connect' }
  /** Ends in `disarmed` or `failed`. */
  | { readonly do: 'disarm' }
  /** Set the flag, then draw the barrier. Ends in `armed` or `failed`. */
  | { readonly do: 'arm' }
  /** Ends in `looked` or `failed`. */
  | { readonly do: 'look'; readonly seen: Snapshot | undefined }
  /** Ends in `sent` once the queue has accepted every kick, or in `unsent`. */
  | { readonly do: 'send'; readonly syncs: readonly string[] }
  /** Ends in `elapsed`, unless another effect starts before. */
  | { readonly do: 'wait'; readonly ms: number }
  /** Drop the connection, then as `wait`. */
  | { readonly do: 'rest'; readonly ms: number }
  /** Leave the source as it should be left and close the connection. Ends in `released`. */
  | { readonly do: 'release' };

export interface Step {
  readonly state: WakeState;
  /** Undefined: what is under way goes on. */
  readonly effect: Effect | undefined;
}

export function initialState(timing: Timing): WakeState {
  return {
    wake: 'notify',
    phase: 'new',
    seen: undefined,
    looked: undefined,
    outgoing: [],
    due: [],
    notified: false,
    lost: false,
    stopping: false,
    barrier: 0n,
    windowMs: timing.windowLeastMs,
    asleepSinceMs: 0,
    failures: 0,
    refusals: 0,
  };
}

/**
 * The machine's one transition function.
 * @param atMs a clock that only goes forward
 */
export function decide(state: WakeState, event: Outcome | Interruption, atMs: number, timing: Timing): Step {
  if (state.stopping && state.phase !== 'stopping' && !UNASKED.has(event.type)) return release(state);
  switch (event.type) {
    case 'notified':
      return onNotified(state, event.sync, atMs, timing);
    case 'ended':
      return onEnded(state, timing);
    case 'stop':
      return onStop(state);
    case 'released':
      return { state: { ...state, phase: 'stopped' }, effect: undefined };
    case 'started':
      return connect(state);
    case 'connected':
      return event.wake === 'notify'
        ? disarm({ ...state, wake: event.wake })
        : look({ ...state, wake: event.wake }, 'looking');
    case 'disarmed':
      return look(state, 'looking');
    case 'armed':
      return look({ ...state, barrier: event.barrier }, 'checking');
    case 'looked':
      return state.phase === 'looking'
        ? onLooked({ ...state, failures: 0 }, event, timing)
        : onLookedArmed(state, event, atMs, timing);
    case 'sent':
      return onSent(state, timing);
    case 'unsent':
      return hold(state, timing);
    case 'elapsed':
      return onElapsed(state);
    case 'failed':
      return rest(state, timing);
    default:
      return event satisfies never;
  }
}

const UNASKED: ReadonlySet<string> = new Set<Interruption['type']>(['notified', 'ended', 'stop']);

/** A look while disarmed: everything it finds is kicked. Its snapshot counts as seen only when the queue has accepted. */
function onLooked(state: WakeState, { snapshot, syncs }: Look, timing: Timing): Step {
  const outgoing = union(syncs, state.due);
  if (outgoing.length === 0) return pause({ ...state, seen: snapshot }, timing);
  return send({ ...state, looked: snapshot, outgoing, due: [] });
}

/** A look while armed: anything newer starts another round; otherwise all there is has been kicked for. */
function onLookedArmed(state: WakeState, found: Look, atMs: number, timing: Timing): Step {
  const due = union(state.due, found.syncs);
  if (due.length > 0 || state.notified) {
    if (state.phase === 'watching') return wakeUp({ ...state, due }, atMs, timing);
    return disarm({ ...state, due, windowMs: Math.min(state.windowMs * 2, timing.windowMostMs) });
  }
  // Nothing visible in this snapshot was missing from the old one, so the newer one is as true and shorter.
  const seen = found.snapshot;
  if (state.phase === 'watching' && !found.armed) return arm({ ...state, seen });
  const settled = found.armed && oldestUnfinished(seen) >= state.barrier;
  const asleepSinceMs = state.phase === 'checking' ? atMs : state.asleepSinceMs;
  return {
    state: { ...state, phase: 'asleep', seen, asleepSinceMs },
    effect: { do: 'wait', ms: settled ? timing.heartbeatMs : watchMs(atMs - asleepSinceMs, timing) },
  };
}

/** In proportion to what has been waited: a transaction that is open for days costs as little as sleeping. */
function watchMs(waitedMs: number, { watchLeastMs, watchMostMs }: Timing): number {
  return Math.min(Math.max(watchLeastMs, waitedMs * WATCH_SHARE), watchMostMs);
}

/** A late commit is noticed later by this part of the time that it was waited for. */
const WATCH_SHARE = 0.05;

function onSent(state: WakeState, timing: Timing): Step {
  const after = { ...state, seen: state.looked, outgoing: [], refusals: 0 };
  return state.lost ? rest(after, timing) : pause(after, timing);
}

function onElapsed(state: WakeState): Step {
  if (state.phase === 'resting') return connect(state);
  if (state.phase === 'holding') {
    return send({ ...state, outgoing: union(state.outgoing, state.due), due: [] });
  }
  if (state.phase === 'asleep') return look(state, 'watching');
  return state.wake === 'notify' ? arm(state) : look(state, 'looking');
}

/** Wakes the sleeper; otherwise it is remembered, and a look that starts later sees what it was about. */
function onNotified(state: WakeState, sync: string | undefined, atMs: number, timing: Timing): Step {
  const due = sync === undefined ? state.due : union(state.due, [sync]);
  const next = { ...state, due, notified: true };
  return state.phase === 'asleep' ? wakeUp(next, atMs, timing) : { state: next, effect: undefined };
}

/** The window starts small again if there was nothing to do for longer than it is. */
function wakeUp(state: WakeState, atMs: number, timing: Timing): Step {
  const quiet = atMs - state.asleepSinceMs > state.windowMs;
  return disarm({ ...state, windowMs: quiet ? timing.windowLeastMs : state.windowMs });
}

/** While an effect on the source is under way, it is the effect that will fail. */
function onEnded(state: WakeState, timing: Timing): Step {
  if (state.phase === 'window' || state.phase === 'asleep') return rest(state, timing);
  const lost = state.phase === 'sending' || state.phase === 'holding';
  return { state: { ...state, lost }, effect: undefined };
}

/**
 * What waits ends now, what is under way comes to its end first. Kicks that the queue does not take are not waited for:
 * whoever starts next kicks everything.
 */
function onStop(state: WakeState): Step {
  const next = { ...state, stopping: true };
  return WAITING.has(state.phase) ? release(next) : { state: next, effect: undefined };
}

const WAITING: ReadonlySet<Phase> = new Set(['new', 'resting', 'holding', 'window', 'asleep']);

function connect(state: WakeState): Step {
  return {
    state: { ...state, phase: 'connecting', seen: undefined, lost: false },
    effect: { do: 'connect' },
  };
}

function disarm(state: WakeState): Step {
  return { state: { ...state, phase: 'disarming' }, effect: { do: 'disarm' } };
}

function arm(state: WakeState): Step {
  return { state: { ...state, phase: 'arming' }, effect: { do: 'arm' } };
}

function look(state: WakeState, phase: 'looking' | 'checking' | 'watching'): Step {
  return { state: { ...state, phase, notified: false }, effect: { do: 'look', seen: state.seen } };
}

function send(state: WakeState): Step {
  return { state: { ...state, phase: 'sending' }, effect: { do: 'send', syncs: state.outgoing } };
}

function pause(state: WakeState, timing: Timing): Step {
  const ms = state.wake === 'notify' ? state.windowMs : timing.pollMs;
  return { state: { ...state, phase: 'window' }, effect: { do: 'wait', ms } };
}

function rest(state: WakeState, timing: Timing): Step {
  return {
    state: {
      ...state,
      phase: 'resting',
      seen: undefined,
      lost: false,
      windowMs: timing.windowLeastMs,
      failures: state.failures + 1,
    },
    effect: {
      do: 'rest',
      ms: growing(timing.reconnectLeastMs, timing.reconnectMostMs, state.failures),
    },
  };
}

function hold(state: WakeState, timing: Timing): Step {
  return {
    state: { ...state, phase: 'holding', refusals: state.refusals + 1 },
    effect: { do: 'wait', ms: growing(timing.resendLeastMs, timing.resendMostMs, state.refusals) },
  };
}

function release(state: WakeState): Step {
  return { state: { ...state, phase: 'stopping' }, effect: { do: 'release' } };
}

/** Every smaller id is finished in this snapshot. */
function oldestUnfinished({ xmax, running }: Snapshot): Txid {
  return running[0] ?? xmax;
}

function growing(leastMs: number, mostMs: number, times: number): number {
  return Math.min(leastMs * 2 ** Math.min(times, 20), mostMs);
}

function union(some: readonly string[], others: readonly string[]): readonly string[] {
  return [...new Set([...some, ...others])];
}
