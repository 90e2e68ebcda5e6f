/**
 * A model of one source, its writers and its notifier, in which a seeded random choice is made between any two steps.
 * Writers and the notifier's effects are generators: every `yield` is a place where all others may go on. The decisions are
 * the notifier's real ones (notifier/protocol.ts). Checked: every committed change is followed by a kick that the queue
 * accepted after the commit, without any sweep.
 *
 * Ids and snapshots are Postgres's: an id is running from when it is given out; a snapshot's xmax is the greatest
 * *finished* id plus one, so that running ids may lie above it; setting a sequence draws an id first.
 */
import {
  decide,
  type Effect,
  initialState,
  type Interruption,
  type Outcome,
  type WakeState,
} from '../../notifier/protocol.ts';
import { TIMING } from '../../notifier/timing.ts';
import { covers, type Snapshot, type Txid } from '../../shared/postgres/snapshot.ts';

/** The protocol's rules, each of which can be broken, to show that it is needed. */
export type BrokenRule =
  | 'nothing is watched after arming'
  | 'only what the snapshot lists is watched'
  | 'the look comes before arming'
  | 'notifications during a look are forgotten'
  | 'refused kicks count as sent'
  | 'nothing is kicked on connecting'
  | 'writers read the flag before they insert'
  | 'the flag is a row of a table';

export interface Scenario {
  readonly seed: number;
  readonly wake: 'notify' | 'poll';
  /** Several notifiers, and statements of lost connections that arrive late: the heartbeat may be needed then. */
  readonly rough: boolean;
  readonly broken?: BrokenRule | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

export interface Verdict {
  readonly steps: number;
  readonly commits: number;
  readonly missed: readonly string[];
}

const SYNCS_OF_TABLE: Readonly<Record<string, readonly string[]>> = {
  customers: ['all'],
  orders: ['all', 'some'],
  items: ['some'],
};
const TABLES = Object.keys(SYNCS_OF_TABLE);
const MOST_STEPS = 50_000;

interface Delta {
  readonly txid: Txid;
  readonly table: string;
}

interface Change {
  readonly txid: Txid;
  readonly sync: string;
  kicked: boolean;
}

type Process = Generator<void, void, void>;
type Random = () => number;

/** Small, fast and good enough for choices (mulberry32). */
function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}

class Source {
  flag: 0 | 1 = 0;
  nextTxid = 100n;
  latestFinished = 99n;
  readonly running = new Set<Txid>();
  readonly committed: Delta[] = [];
  readonly changes: Change[] = [];
  readonly listeners = new Set<string[]>();

  draw(): Txid {
    const txid = this.nextTxid;
    this.nextTxid += 1n;
    this.running.add(txid);
    return txid;
  }

  finish(txid: Txid): void {
    this.running.delete(txid);
    if (txid > this.latestFinished) this.latestFinished = txid;
  }

  /** Visible at once; the notification follows. */
  commit(txid: Txid, deltas: readonly Delta[]): void {
    this.finish(txid);
    this.committed.push(...deltas);
    const syncs = new Set(deltas.flatMap(({ table }) => SYNCS_OF_TABLE[table] ?? []));
    for (const sync of syncs) this.changes.push({ txid, sync, kicked: false });
  }

  notify(): void {
    for (const inbox of this.listeners) inbox.push('wake');
  }

  snapshot(): Snapshot {
    const xmax = this.latestFinished + 1n;
    const running = [...this.running].filter((txid) => txid < xmax).sort((a, b) => (a < b ? -1 : 1));
    return { xmax, running };
  }

  changedSince(seen: Snapshot | undefined): readonly string[] {
    const fresh = this.committed.filter(({ txid }) => seen === undefined || !covers(seen, txid));
    return [...new Set(fresh.flatMap(({ table }) => SYNCS_OF_TABLE[table] ?? []))];
  }

  *drawAndFinish(): Generator<void, Txid, void> {
    const txid = this.draw();
    try {
      yield;
    } finally {
      this.finish(txid);
    }
    return txid;
  }

  *setFlag(value: 0 | 1): Process {
    const txid = this.draw();
    try {
      yield;
      this.flag = value;
      yield;
    } finally {
      this.finish(txid);
    }
  }
}

/** One transaction of an application: some statements, some in savepoints that are rolled back, then commit or rollback. */
function* writer(
  source: Source,
  random: Random,
  { broken, trace }: Scenario,
  wake: 'notify' | 'poll',
): Process {
  const flagAtBegin = source.flag;
  const repeatableRead = random() < 0.3;
  const readFlag = () =>
    broken === 'the flag is a row of a table' && repeatableRead ? flagAtBegin : source.flag;
  let txid: Txid | undefined;
  const deltas: Delta[] = [];
  let notifies = false;
  yield;
  for (let left = pick(random, [1, 1, 1, 2, 3]); left > 0; left -= 1) {
    const undone = random() < 0.15;
    const early = broken === 'writers read the flag before they insert' ? readFlag() : undefined;
    if (early !== undefined) yield;
    txid ??= source.draw();
    const delta = { txid, table: pick(random, TABLES) };
    yield;
    const flag = early ?? readFlag();
    trace?.(`writer ${txid}: ${delta.table}, flag ${flag}${undone ? ', undone' : ''}`);
    if (!undone) {
      deltas.push(delta);
      notifies ||= flag === 1;
    }
    yield;
  }
  if (txid === undefined) return;
  if (random() < 0.15) {
    source.finish(txid);
    return;
  }
  source.commit(txid, deltas);
  trace?.(`writer ${txid}: commit${notifies ? ', notifies' : ''}`);
  yield;
  if (notifies && wake === 'notify') source.notify();
}

/** A notifier process: the real decisions, and effects on the model source step by step. */
class Notifier {
  state: WakeState;
  effect: Effect | undefined;
  looks = 0;
  /** Without end: the process was killed. */
  dead = false;
  inbox: string[] | undefined;
  #process: Process | undefined;
  /** Statements that the server goes on with after the connection was lost. */
  readonly stragglers: Process[];
  readonly #source: Source;
  readonly #random: Random;
  readonly #scenario: Scenario;
  readonly #faults: () => boolean;

  constructor(
    source: Source,
    random: Random,
    scenario: Scenario,
    stragglers: Process[],
    faults: () => boolean,
  ) {
    this.#source = source;
    this.#random = random;
    this.#scenario = scenario;
    this.stragglers = stragglers;
    this.#faults = faults;
    this.state = initialState(TIMING);
    this.happened({ type: 'started' });
  }

  get busy(): boolean {
    return this.#process !== undefined;
  }

  /** Nothing will happen by itself but a heartbeat. */
  get idle(): boolean {
    return (
      this.state.phase === 'asleep' &&
      this.effect?.do === 'wait' &&
      this.effect.ms >= TIMING.heartbeatMs &&
      this.inbox?.length === 0
    );
  }

  get waiting(): boolean {
    return this.effect?.do === 'wait' || this.effect?.do === 'rest';
  }

  happened(event: Outcome | Interruption): void {
    if (this.dead) return;
    const before = this.state;
    const { state, effect } = decide(before, event, 0, TIMING);
    this.state = state;
    this.#scenario.trace?.(`notifier: ${event.type} -> ${state.phase}${effect ? `, ${effect.do}` : ''}`);
    if (effect === undefined) return;
    this.effect = effect;
    if (effect.do === 'rest') this.#disconnect();
    this.#process =
      effect.do === 'wait' || effect.do === 'rest' ? undefined : this.#perform(effect, state.phase);
  }

  step(): void {
    const process = this.#process;
    // Its last step may have started the next effect.
    if (process?.next().done === true && this.#process === process) this.#process = undefined;
  }

  deliver(): void {
    const message = this.inbox?.shift();
    if (message === undefined) return;
    const forgotten =
      this.#scenario.broken === 'notifications during a look are forgotten' && this.state.phase !== 'asleep';
    if (!forgotten) this.happened({ type: 'notified' });
  }

  /** The connection breaks: unheard notifications are gone, and what is under way at the source fails for us. */
  loseConnection(): void {
    if (this.inbox === undefined) return;
    this.#disconnect();
    if (this.effect?.do === 'send' || this.waiting) return this.happened({ type: 'ended' });
    this.#abandon();
    this.happened({ type: 'failed' });
  }

  kill(): void {
    this.dead = true;
    this.#disconnect();
    this.#abandon();
  }

  #disconnect(): void {
    if (this.inbox !== undefined) this.#source.listeners.delete(this.inbox);
    this.inbox = undefined;
  }

  /** The server ends a statement whose client is gone: now, or (rough) after having carried it out, whenever that is. */
  #abandon(): void {
    const { effect } = this;
    if (this.#scenario.rough && this.busy && (effect?.do === 'disarm' || effect?.do === 'arm')) {
      this.stragglers.push(this.#source.setFlag(effect.do === 'arm' ? 1 : 0));
    }
    this.#process?.return();
    this.#process = undefined;
  }

  *#perform(effect: Exclude<Effect, { do: 'wait' | 'rest' }>, phase: WakeState['phase']): Process {
    const { broken } = this.#scenario;
    switch (effect.do) {
      case 'connect':
        yield;
        if (this.#faults() && this.#random() < 0.2) return this.happened({ type: 'failed' });
        this.inbox = [];
        if (this.#scenario.wake === 'notify') this.#source.listeners.add(this.inbox);
        yield;
        return this.happened({ type: 'connected', wake: this.#scenario.wake });
      case 'disarm':
        yield* this.#source.setFlag(0);
        yield;
        return this.happened({ type: 'disarmed' });
      case 'arm': {
        if (broken !== 'the look comes before arming') yield* this.#source.setFlag(1);
        yield;
        // Drawing an id and finishing it also raises every later snapshot's xmax.
        let barrier = 0n;
        if (broken !== 'only what the snapshot lists is watched') {
          barrier = yield* this.#source.drawAndFinish();
          yield;
        }
        if (broken === 'nothing is watched after arming') barrier = 0n;
        return this.happened({ type: 'armed', barrier });
      }
      case 'look':
        return yield* this.#look(effect.seen, phase);
      case 'send':
        return yield* this.#send(effect.syncs);
      case 'release':
        yield* this.#source.setFlag(0);
        yield;
        this.#disconnect();
        this.#source.notify();
        return this.happened({ type: 'released' });
      default:
        return effect satisfies never;
    }
  }

  *#look(seen: Snapshot | undefined, phase: WakeState['phase']): Process {
    const { broken } = this.#scenario;
    yield;
    const snapshot = this.#source.snapshot();
    const changed = this.#source.changedSince(seen);
    const syncs =
      broken === 'nothing is kicked on connecting' && seen === undefined
        ? []
        : seen === undefined
          ? ['all', 'some']
          : changed;
    yield;
    const armed = this.#source.flag === 1;
    if (broken === 'the look comes before arming' && phase === 'checking') {
      yield* this.#source.setFlag(1);
      this.state = { ...this.state, barrier: snapshot.xmax };
    }
    if (broken === 'only what the snapshot lists is watched' && phase === 'checking') {
      this.state = { ...this.state, barrier: snapshot.xmax };
    }
    yield;
    this.looks += 1;
    this.happened({
      type: 'looked',
      snapshot,
      syncs,
      armed: broken === 'the look comes before arming' ? true : armed,
    });
  }

  *#send(syncs: readonly string[]): Process {
    yield;
    const refused = this.#faults() && this.#random() < 0.25;
    if (!refused || this.#random() < 0.3) {
      for (const change of this.#source.changes) {
        if (syncs.includes(change.sync)) change.kicked = true;
      }
    }
    yield;
    const counts = !refused || this.#scenario.broken === 'refused kicks count as sent';
    this.happened({ type: counts ? 'sent' : 'unsent' });
  }
}

/** Something that may happen next, and how often it does compared with the others. */
interface Action {
  readonly weight: number;
  readonly run: () => void;
}

/** Speeds differ by orders of magnitude: a commit that comes long after the rest is where wake-ups get lost. */
const SPEEDS = [0.05, 0.3, 1, 1, 3, 10];

function choose(random: Random, actions: readonly Action[]): Action {
  let left = random() * actions.reduce((sum, { weight }) => sum + weight, 0);
  for (const action of actions) {
    left -= action.weight;
    if (left <= 0) return action;
  }
  return pick(random, actions);
}

/** Plays one scenario to its end and tells which committed changes no kick followed. */
export function play(scenario: Scenario): Verdict {
  const random = randomFrom(scenario.seed);
  const source = new Source();
  const mostOpen = 1 + Math.floor(random() * 5);
  let unstarted = 1 + Math.floor(random() * 8);
  const starting = pick(random, SPEEDS);
  const notifying = pick(random, SPEEDS);
  let faultsLeft = random() < 0.5 ? Math.floor(random() * 4) : 0;
  const writers = new Map<Process, { readonly speed: number }>();
  const writing = () => unstarted > 0 || writers.size > 0;
  const stragglers: Process[] = [];
  const newNotifier = () => new Notifier(source, random, scenario, stragglers, writing);
  const notifiers = Array.from({ length: scenario.rough && random() < 0.5 ? 2 : 1 }, newNotifier);
  /** What an end still needs: heartbeats if the scenario is rough, two whole looks if it polls. */
  let heartbeatsLeft = scenario.rough ? 2 * notifiers.length : 0;
  let looksAtEnd: number | undefined;

  const done = () => {
    if (writing() || stragglers.length > 0) return false;
    if (scenario.wake === 'poll') {
      const looks = notifiers.reduce((sum, { looks }) => sum + looks, 0);
      looksAtEnd ??= looks;
      return looks >= looksAtEnd + 2 && notifiers.every(({ state }) => state.phase === 'window');
    }
    return notifiers.every(({ idle }) => idle) && heartbeatsLeft === 0;
  };

  let steps = 0;
  for (; !done(); steps += 1) {
    if (steps > MOST_STEPS) throw new Error(`seed ${scenario.seed}: the notifier does not come to rest`);
    const actions: Action[] = [];
    for (const [process, { speed }] of writers) {
      actions.push({
        weight: speed,
        run: () => {
          if (process.next().done === true) writers.delete(process);
        },
      });
    }
    if (unstarted > 0 && writers.size < mostOpen) {
      actions.push({
        weight: starting,
        run: () => {
          unstarted -= 1;
          writers.set(writer(source, random, scenario, scenario.wake), { speed: pick(random, SPEEDS) });
        },
      });
    }
    for (const [index, straggler] of stragglers.entries()) {
      actions.push({
        weight: 1,
        run: () => {
          if (straggler.next().done === true) stragglers.splice(index, 1);
        },
      });
    }
    for (const [index, notifier] of notifiers.entries()) {
      if (notifier.busy) actions.push({ weight: notifying, run: () => notifier.step() });
      if ((notifier.inbox?.length ?? 0) > 0) actions.push({ weight: 1, run: () => notifier.deliver() });
      if (notifier.waiting && !notifier.idle) {
        actions.push({ weight: notifying, run: () => notifier.happened({ type: 'elapsed' }) });
      }
      if (notifier.idle && !writing() && heartbeatsLeft > 0 && notifiers.every(({ idle }) => idle)) {
        actions.push({
          weight: 1,
          run: () => {
            heartbeatsLeft -= 1;
            for (const each of notifiers) each.happened({ type: 'elapsed' });
          },
        });
      }
      if (notifier.state.phase === 'stopped') {
        actions.push({ weight: 1, run: () => (notifiers[index] = newNotifier()) });
      }
      if (faultsLeft > 0 && writing()) {
        actions.push({
          weight: 0.3,
          run: () => {
            faultsLeft -= 1;
            const fault = random();
            if (fault < 0.4) notifier.loseConnection();
            else if (fault < 0.8) {
              notifier.kill();
              notifiers[index] = newNotifier();
            } else notifier.happened({ type: 'stop' });
          },
        });
      }
    }
    choose(random, actions).run();
  }
  return {
    steps,
    commits: source.changes.length,
    missed: source.changes.filter(({ kicked }) => !kicked).map(({ txid, sync }) => `${txid} for ${sync}`),
  };
}
