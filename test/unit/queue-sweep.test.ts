import { describe, expect, it } from 'vitest';
import { type LaneSituation, planSweep } from '../../lambdas/sweep/plan-sweep.ts';

const NOW_MS = Date.parse('2026-03-01T12:00:30Z');

function situation(change: Partial<LaneSituation> = {}): LaneSituation {
  return {
    lane: { id: 'orders/reports', sync: 'orders', source: 'east', destination: 'reports' },
    schedule: undefined,
    autokick: true,
    runStartedSecondsAgo: 10,
    failures: 0,
    retryDueForSeconds: undefined,
    heldDueForSeconds: undefined,
    copyUnfinished: false,
    paused: false,
    ...change,
  };
}

function plan(change: Partial<LaneSituation>, scheduleGraceSeconds?: number): string {
  const decision = planSweep(situation(change), NOW_MS, scheduleGraceSeconds);
  return decision.action === 'kick' ? decision.reason : decision.action;
}

describe('a lane with a schedule', () => {
  it('is kicked when it has never run', () => {
    expect(plan({ schedule: 'rate(1 day)', runStartedSecondsAgo: undefined })).toBe('schedule');
  });

  it('is kicked when its period has passed since the last run, and not before', () => {
    expect(plan({ schedule: 'rate(5 minutes)', runStartedSecondsAgo: 300 })).toBe('schedule');
    expect(plan({ schedule: 'rate(5 minutes)', runStartedSecondsAgo: 240 })).toBe('look');
  });

  it('of one minute is kicked by every sweep, though its run began a moment after the sweep', () => {
    expect(plan({ schedule: 'rate(1 minute)', runStartedSecondsAgo: 58 })).toBe('schedule');
    expect(plan({ schedule: 'rate(1 minute)', runStartedSecondsAgo: 5 })).toBe('look');
  });

  it('by the clock is kicked once after each time it names', () => {
    const noon = 'cron(0 12 * * ? *)';
    expect(plan({ schedule: noon, runStartedSecondsAgo: 31 })).toBe('schedule');
    expect(plan({ schedule: noon, runStartedSecondsAgo: 29 })).toBe('look');
    expect(plan({ schedule: noon, runStartedSecondsAgo: 86_000 })).toBe('schedule');
    // The missed ones are made up for by one run.
    expect(plan({ schedule: noon, runStartedSecondsAgo: 10 * 86_400 })).toBe('schedule');
    expect(plan({ schedule: 'cron(0 13 * * ? *)', runStartedSecondsAgo: 3_000 })).toBe('look');
  });

  it('is kicked by it whether changes kick it or not', () => {
    expect(plan({ schedule: 'rate(5 minutes)', runStartedSecondsAgo: 301, autokick: false })).toBe(
      'schedule',
    );
  });
});

describe('a schedule that others kick', () => {
  it('is made up for when it is overdue by the grace, and not before', () => {
    const rate = (runStartedSecondsAgo: number) =>
      plan({ schedule: 'rate(5 minutes)', runStartedSecondsAgo, autokick: false }, 90);
    expect(rate(300)).toBe('leave');
    expect(rate(379)).toBe('leave');
    expect(rate(380)).toBe('schedule');
    const clock = (runStartedSecondsAgo: number) =>
      plan({ schedule: 'cron(59 11 * * ? *)', runStartedSecondsAgo }, 90);
    expect(clock(100)).toBe('schedule');
    expect(plan({ schedule: 'cron(0 12 * * ? *)', runStartedSecondsAgo: 100 }, 90)).toBe('look');
  });

  it('is kicked at once when the lane has never run', () => {
    expect(plan({ schedule: 'rate(1 day)', runStartedSecondsAgo: undefined }, 90)).toBe('schedule');
  });
});

it('a paused lane is left alone, whatever is due', () => {
  const due = { schedule: 'rate(1 minute)', runStartedSecondsAgo: undefined, copyUnfinished: true } as const;
  expect(plan({ ...due, paused: true })).toBe('leave');
  expect(plan({ ...due, heldDueForSeconds: 5, paused: true })).toBe('leave');
  expect(plan({ failures: 3, retryDueForSeconds: 1_000, paused: true })).toBe('leave');
});

describe('a failing lane', () => {
  it('is left to its own retry, whatever else is due', () => {
    const due = { schedule: 'rate(1 minute)', runStartedSecondsAgo: 500, copyUnfinished: true } as const;
    expect(plan({ ...due, failures: 3, retryDueForSeconds: -20 })).toBe('leave');
    expect(plan({ ...due, failures: 3, retryDueForSeconds: 30 })).toBe('leave');
  });

  it('is kicked when its own retry must have come and has not', () => {
    expect(plan({ failures: 1, retryDueForSeconds: 61 })).toBe('sweep');
    expect(plan({ failures: 1, retryDueForSeconds: 61, autokick: false })).toBe('sweep');
  });

  it('without an instant for its retry goes by its last run', () => {
    expect(plan({ failures: 1, runStartedSecondsAgo: 61 })).toBe('sweep');
    expect(plan({ failures: 1, runStartedSecondsAgo: 59 })).toBe('leave');
    expect(plan({ failures: 1, runStartedSecondsAgo: undefined })).toBe('sweep');
  });
});

describe('a lane that is well', () => {
  it('is kicked for a held relation that is due', () => {
    expect(plan({ heldDueForSeconds: 0 })).toBe('sweep');
    expect(plan({ heldDueForSeconds: -1 })).toBe('look');
  });

  it('is kicked to go on with an unfinished copy', () => {
    expect(plan({ copyUnfinished: true, autokick: false })).toBe('sweep');
  });

  it('is looked at for missed changes only if changes kick it', () => {
    expect(plan({})).toBe('look');
    expect(plan({ autokick: false })).toBe('leave');
  });
});
