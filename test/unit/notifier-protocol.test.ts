/** What the protocol does with time: windows, back-off, and where a stop ends it. What it never misses is shown by the simulation. */
import { describe, expect, test } from 'vitest';
import {
  decide,
  type Effect,
  initialState,
  type Interruption,
  type Outcome,
  type Step,
  type WakeState,
} from '../../notifier/protocol.ts';
import { TIMING } from '../../notifier/timing.ts';
import { readSettings } from '../../shared/config/environment.ts';

const SETTLED = { xmax: 200n, running: [] };

type Event = Outcome | Interruption;

const started: Event = { type: 'started' };
const nothing: Event = { type: 'looked', snapshot: SETTLED, syncs: [], armed: true };
const change: Event = { type: 'looked', snapshot: SETTLED, syncs: ['orders'], armed: true };
const armed: Event = { type: 'armed', barrier: 100n };
/** From a fresh start to the first sleep. */
const TO_SLEEP: readonly Event[] = [
  started,
  { type: 'connected', wake: 'notify' },
  { type: 'disarmed' },
  change,
  { type: 'sent' },
  { type: 'elapsed' },
  armed,
  nothing,
];
/** From "something newer" or a wake-up to the next armed look. */
const ROUND: readonly Event[] = [{ type: 'disarmed' }, change, { type: 'sent' }, { type: 'elapsed' }, armed];

function play(events: readonly Event[], from: WakeState = initialState(TIMING), atMs = 0): Step {
  let step: Step = { state: from, effect: undefined };
  for (const event of events) step = decide(step.state, event, atMs, TIMING);
  return step;
}

function waitOf(effect: Effect | undefined): number | undefined {
  return effect?.do === 'wait' || effect?.do === 'rest' ? effect.ms : undefined;
}

/** How long the window is that follows the next kick. */
function windowAfter(events: readonly Event[], from: WakeState): number | undefined {
  return waitOf(play([...events, { type: 'disarmed' }, change, { type: 'sent' }], from).effect);
}

describe('the coalescing window', () => {
  test('doubles while every armed look finds something, up to its greatest length', () => {
    let { state } = play(TO_SLEEP.slice(0, -1));
    const windows: (number | undefined)[] = [];
    for (let round = 0; round < 7; round += 1) {
      windows.push(windowAfter([change], state));
      ({ state } = play([change, ...ROUND], state));
    }
    expect(windows).toEqual([20, 40, 80, 160, 250, 250, 250]);
  });

  test('starts small again after a sleep that was longer than it', () => {
    const busy = play([change, ...ROUND, change, ...ROUND, nothing], play(TO_SLEEP.slice(0, -1)).state);
    expect(busy.state.phase).toBe('asleep');
    const soon = decide(busy.state, { type: 'notified' }, busy.state.windowMs - 1, TIMING);
    expect(windowAfter([], soon.state)).toBe(40);
    const later = decide(busy.state, { type: 'notified' }, busy.state.windowMs + 1, TIMING);
    expect(windowAfter([], later.state)).toBe(TIMING.windowLeastMs);
  });
});

test('attempts to connect get rarer, and count from the start again after a look', () => {
  let step = play([started]);
  const rests: (number | undefined)[] = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    step = play([{ type: 'failed' }], step.state);
    rests.push(waitOf(step.effect));
    step = play([{ type: 'elapsed' }], step.state);
  }
  expect(rests).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  const connected = play(
    [{ type: 'connected', wake: 'notify' }, { type: 'disarmed' }, change, { type: 'sent' }],
    step.state,
  );
  expect(waitOf(play([{ type: 'ended' }], connected.state).effect)).toBe(100);
});

test('after any loss of the connection everything is looked at as if for the first time', () => {
  const lost = play([
    ...TO_SLEEP,
    { type: 'ended' },
    { type: 'elapsed' },
    { type: 'connected', wake: 'notify' },
  ]);
  expect(play([{ type: 'disarmed' }], lost.state).effect).toEqual({ do: 'look', seen: undefined });
});

test('a transaction that is open for long is looked for at a twentieth of the time, and every two seconds at most', () => {
  const open: Event = { type: 'looked', snapshot: { xmax: 200n, running: [50n] }, syncs: [], armed: true };
  let { state, effect } = play([...TO_SLEEP.slice(0, -1), open]);
  let atMs = 0;
  let looks = 0;
  const waits: number[] = [];
  while (atMs < 3_600_000) {
    const ms = waitOf(effect)!;
    waits.push(ms);
    atMs += ms;
    looks += 1;
    ({ state, effect } = decide(decide(state, { type: 'elapsed' }, atMs, TIMING).state, open, atMs, TIMING));
  }
  expect(waits.slice(0, 3)).toEqual([20, 20, 20]);
  expect(waits.at(-1)).toBe(2_000);
  expect(looks).toBeLessThan(2_000);
  expect(waitOf(play([{ type: 'elapsed' }, nothing], state).effect)).toBe(TIMING.heartbeatMs);
});

test('each connection goes the way that it began with', () => {
  const polling = play([started, { type: 'connected', wake: 'poll' }]);
  expect(polling.effect).toEqual({ do: 'look', seen: undefined });
  const looked = play([change, { type: 'sent' }, { type: 'elapsed' }], polling.state);
  expect(looked.effect).toMatchObject({ do: 'look' });
  const again = play(
    [{ type: 'failed' }, { type: 'elapsed' }, { type: 'connected', wake: 'notify' }],
    looked.state,
  );
  expect(again.effect).toEqual({ do: 'disarm' });
});

test('a stop releases the source at once where it waits, and after the effect under way elsewhere', () => {
  for (let length = 0; length <= TO_SLEEP.length; length += 1) {
    const { state, effect } = play(TO_SLEEP.slice(0, length));
    const waits = effect === undefined || effect.do === 'wait';
    const stopped = decide(state, { type: 'stop' }, 0, TIMING);
    expect(stopped.effect).toEqual(waits ? { do: 'release' } : undefined);
    if (waits) continue;
    const next = decide(stopped.state, { type: 'failed' }, 0, TIMING);
    expect(next.effect).toEqual({ do: 'release' });
    expect(decide(next.state, { type: 'released' }, 0, TIMING).state.phase).toBe('stopped');
  }
});

test('the health endpoint is wanted only with a usable port', () => {
  expect(readSettings({ BUCARDO_HEALTH_PORT: '8080' }).health).toEqual({ host: undefined, port: 8080 });
  expect(readSettings({ BUCARDO_HEALTH_PORT: ' 8080 ', BUCARDO_HEALTH_HOST: '0.0.0.0' }).health).toEqual({
    host: '0.0.0.0',
    port: 8080,
  });
  for (const port of [undefined, '', 'http', '-1', '65536', '80.5']) {
    expect(readSettings({ BUCARDO_HEALTH_PORT: port }).health).toBeUndefined();
  }
});
