import { expect, test } from 'vitest';
import { type LaneLook, mustRenew, planLetter } from '../../lambdas/dead-letter/plan-letter.ts';
import { parseKickRequest } from '../../lambdas/kick/parse-request.ts';
import { parseOperateRequest } from '../../lambdas/operate/parse-request.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';

const SENT = 1_000_000_000;
const FAILING: LaneLook = {
  paused: false,
  failures: 24,
  runFinishedAtMs: SENT - 5_000,
  deadLetterAtMs: undefined,
};
const RECORDED: LaneLook = { ...FAILING, deadLetterAtMs: SENT };
const WELL: LaneLook = { paused: false, failures: 0, runFinishedAtMs: SENT + 1, deadLetterAtMs: undefined };

test('a letter is done with when its lane has run well since, and only then', () => {
  expect(planLetter({ sentAtMs: SENT }, WELL, SENT + 2)).toEqual({ action: 'done' });
  for (const lane of [
    FAILING,
    RECORDED,
    { ...WELL, runFinishedAtMs: SENT - 1 },
    { ...WELL, runFinishedAtMs: undefined },
    { ...WELL, failures: 1 },
    { ...WELL, deadLetterAtMs: SENT },
    undefined,
  ]) {
    expect(planLetter({ sentAtMs: SENT }, lane, SENT + 2)).toMatchObject({ action: 'retry', kick: true });
  }
});

test('tries come after as long as the letter is old, from a minute to a quarter of an hour', () => {
  const delays = [0, 30, 60, 90, 240, 899, 900, 86_400].map((age) => {
    const plan = planLetter({ sentAtMs: SENT }, RECORDED, SENT + age * 1000);
    return plan.action === 'retry' ? plan.delaySeconds : 0;
  });
  expect(delays).toEqual([60, 60, 60, 90, 240, 899, 900, 900]);
});

test('people are told once of a lane, also of one whose source says nothing', () => {
  const announced = (lane: LaneLook | undefined, ageSeconds = 0) => {
    const plan = planLetter({ sentAtMs: SENT }, lane, SENT + ageSeconds * 1000);
    return plan.action === 'retry' && plan.announce;
  };
  expect(announced(FAILING)).toBe(true);
  expect(announced(FAILING, 600)).toBe(true);
  expect(announced(RECORDED)).toBe(false);
  expect(announced(undefined)).toBe(true);
  // The earliest second try: the letter was hidden for the shortest delay.
  expect(announced(undefined, 60)).toBe(false);
});

test('a paused lane is not kicked, and its letter stays', () => {
  expect(planLetter({ sentAtMs: SENT }, { ...RECORDED, paused: true }, SENT)).toMatchObject({
    action: 'retry',
    kick: false,
  });
});

test('a letter is written anew long before SQS deletes it', () => {
  const day = 24 * 3_600_000;
  expect(mustRenew({ sentAtMs: SENT }, SENT + 6 * day)).toBe(false);
  expect(mustRenew({ sentAtMs: SENT }, SENT + 8 * day)).toBe(true);
});

function refusal(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    const known = asBucardoError(error);
    expect(known.code).toBe('BUC-REQUEST-MALFORMED');
    return known.message;
  }
  throw new Error('was not refused');
}

test('a kick is asked for by sync or by schedule', () => {
  expect(parseKickRequest({ sync: 'orders' })).toMatchObject({ kind: 'sync', waitSeconds: undefined });
  expect(parseKickRequest({ sync: 'orders', to: 'reports', wait: true, timeoutSeconds: 7 })).toEqual({
    kind: 'sync',
    sync: 'orders',
    to: 'reports',
    waitSeconds: 7,
  });
  expect(parseKickRequest({ schedule: 'rate(1 minute)' })).toEqual({
    kind: 'schedule',
    schedule: 'rate(1 minute)',
  });
});

test.each([
  null,
  'hunter2',
  7,
  [],
  {},
  { sync: 7 },
  { sync: 'a', to: 7 },
  { sync: 'a', wait: 'yes' },
  { sync: 'a', timeoutSeconds: -1 },
])('a kick asked for by %j is refused without quoting it', (event) => {
  expect(refusal(() => parseKickRequest(event))).not.toContain('hunter2');
});

test.each([
  undefined,
  {},
  { command: 'hunter2' },
  { command: 'pause' },
  { command: 'pause', sync: 7 },
  { command: 'redrive', to: 7 },
])('a command asked for by %j is refused without quoting it', (event) => {
  expect(refusal(() => parseOperateRequest(event))).not.toContain('hunter2');
});
