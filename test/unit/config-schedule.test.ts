/** Schedules mean what EventBridge says they mean. The calendar is checked against a plain day-by-day search. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextDue, scheduleProblem } from '../../shared/config/schedule.ts';
import type { Schedule } from '../../shared/config/types.ts';

const MINUTE_MS = 60_000;
const instants = fc.date({
  min: new Date('2024-01-01T00:00:00Z'),
  max: new Date('2034-01-01T00:00:00Z'),
  noInvalidDate: true,
});

function due(schedule: string, after: string, times = 1): readonly string[] {
  const found: string[] = [];
  let at = new Date(after);
  for (let count = 0; count < times; count++) {
    const next = nextDue(schedule as Schedule, at);
    if (next === undefined) break;
    found.push(next.toISOString().slice(0, 16));
    at = next;
  }
  return found;
}

test.each([
  ['rate(1 minute)', '2026-01-01T00:00:30.500Z', ['2026-01-01T00:01']],
  ['rate(2 hours)', '2026-01-01T23:00:00Z', ['2026-01-02T01:00', '2026-01-02T03:00']],
  ['rate(1 day)', '2028-02-28T12:00:00Z', ['2028-02-29T12:00', '2028-03-01T12:00']],
  // The examples of EventBridge's own guide.
  ['cron(0 10 * * ? *)', '2026-01-01T10:00:00Z', ['2026-01-02T10:00', '2026-01-03T10:00']],
  ['cron(15 12 * * ? *)', '2026-01-01T00:00:00Z', ['2026-01-01T12:15']],
  ['cron(0 18 ? * MON-FRI *)', '2026-01-02T18:00:00Z', ['2026-01-05T18:00', '2026-01-06T18:00']],
  ['cron(0 8 1 * ? *)', '2026-01-01T08:00:00Z', ['2026-02-01T08:00']],
  ['cron(0/15 * * * ? *)', '2026-01-01T00:31:00Z', ['2026-01-01T00:45', '2026-01-01T01:00']],
  ['cron(0/5 8-17 ? * MON-FRI *)', '2026-01-02T17:54:59Z', ['2026-01-02T17:55', '2026-01-05T08:00']],
  ['cron(0 9 ? * 2#1 *)', '2026-01-06T00:00:00Z', ['2026-02-02T09:00', '2026-03-02T09:00']],
  ['cron(0 3 ? * 6L *)', '2026-01-01T00:00:00Z', ['2026-01-30T03:00', '2026-02-27T03:00']],
  ['cron(0 3 ? * friL *)', '2026-01-01T00:00:00Z', ['2026-01-30T03:00', '2026-02-27T03:00']],
  ['cron(0 3 ? * L *)', '2026-01-01T00:00:00Z', ['2026-01-03T03:00', '2026-01-10T03:00']],
  ['cron(0 3 L * ? *)', '2028-01-31T03:00:00Z', ['2028-02-29T03:00', '2028-03-31T03:00']],
  // 15 August 2026 is a Saturday, 1 August too: the nearest weekday stays within the month.
  ['cron(0 3 15W AUG ? *)', '2026-01-01T00:00:00Z', ['2026-08-14T03:00', '2027-08-16T03:00']],
  ['cron(0 3 1W AUG ? *)', '2026-01-01T00:00:00Z', ['2026-08-03T03:00', '2027-08-02T03:00']],
  ['cron(0 3 29 2 ? *)', '2026-01-01T00:00:00Z', ['2028-02-29T03:00', '2032-02-29T03:00']],
  ['cron(0 0 1 1 ? 2030-2031)', '2026-01-01T00:00:00Z', ['2030-01-01T00:00', '2031-01-01T00:00']],
  ['cron(0 0 ? JAN,DEC SUN,WED 2026)', '2026-12-28T00:00:00Z', ['2026-12-30T00:00']],
  // Neither the machine's time zone nor daylight saving matters.
  ['cron(30 2 29 3 ? 2026)', '2026-03-28T00:00:00Z', ['2026-03-29T02:30']],
])('%s after %s is due at %j', (schedule, after, expected) => {
  expect(due(schedule, after, expected.length)).toEqual(expected);
});

test('a cron whose years have passed is never due', () => {
  expect(nextDue('cron(0 0 1 1 ? 2020)', new Date('2026-01-01T00:00:00Z'))).toBeUndefined();
});

test.each([
  ['', /is no schedule/],
  ['at(2026-01-01T00:00:00)', /is no schedule/],
  ['rate()', /is no rate/],
  ['rate(-5 minutes)', /is no rate/],
  ['rate(1.5 hours)', /is no rate/],
  ['rate(5  minutes)', /is no rate/],
  ['rate(5 weeks)', /is no rate/],
  ['rate(01 minute)', /is no rate/],
  ['rate(999999 days)', /is no rate/],
  ['rate(0 minutes)', /rate of zero/],
  ['rate(1 hours)', /write 'rate\(1 hour\)'/],
  ['rate(2 day)', /write 'rate\(2 days\)'/],
  ['cron()', /has 0 fields/],
  ['cron(0 0 3 * * ? *)', /has 7 fields/],
  ['cron(* * ? * ? *)', /\? in exactly one/],
  ['cron(0 3 1 * MON *)', /\? in exactly one/],
  ['cron(x 3 * * ? *)', /minutes field that cannot be read/],
  ['cron(5, 3 * * ? *)', /minutes field that cannot be read/],
  ['cron(*5 3 * * ? *)', /minutes field that cannot be read/],
  ['cron(? 3 * * ? *)', /minutes field that cannot be read/],
  ['cron(0 24 * * ? *)', /hours field that must lie in 0–23/],
  ['cron(0 22-2 * * ? *)', /hours field that has a range that runs backwards/],
  ['cron(0/0 3 * * ? *)', /step outside of 1–59/],
  ['cron(0 3 0 * ? *)', /day-of-month field that must lie in 1–31/],
  ['cron(0 3 32W * ? *)', /day-of-month field that cannot be read/],
  ['cron(0 3 1W,15W * ? *)', /day-of-month field that cannot be read/],
  ['cron(0 3 * 13 ? *)', /month field that must lie in 1–12/],
  ['cron(0 3 * MON ? *)', /month field that cannot be read/],
  ['cron(0 3 ? * 0 *)', /day-of-week field that must lie in 1–7/],
  ['cron(0 3 ? * 2#6 *)', /day-of-week field that cannot be read/],
  ['cron(0 3 ? * 2#1,3#1 *)', /day-of-week field that cannot be read/],
  ['cron(0 3 * * ? 1969)', /year field that must lie in 1970–2199/],
  ['cron(0 3 30 2 ? *)', /no calendar has/],
  ['cron(0 3 29 2 ? 2027)', /no calendar has/],
])('%s is refused', (schedule, problem) => {
  expect(scheduleProblem(schedule)).toMatch(problem);
});

test('a rate is due exactly its period after the last run', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 99_999 }),
      fc.constantFrom(['minutes', 1] as const, ['hours', 60] as const, ['days', 1440] as const),
      instants,
      (value, [unit, minutes], after) => {
        const next = nextDue(`rate(${value} ${unit})`, after);
        expect(next && next.getTime() - after.getTime()).toBe(value * minutes * MINUTE_MS);
      },
    ),
  );
});

/** A field of the grammar with the set of values that it stands for. */
interface Drawn {
  readonly text: string;
  readonly has: (value: number) => boolean;
}

function field(least: number, greatest: number): fc.Arbitrary<Drawn> {
  const value = fc.integer({ min: least, max: greatest });
  const step = fc.integer({ min: 1, max: Math.max(1, Math.min(20, greatest - least)) });
  const item = fc.oneof(
    value.map((only) => ({ text: `${only}`, has: (v: number) => v === only })),
    fc
      .tuple(value, value)
      .map(([one, other]) => [Math.min(one, other), Math.max(one, other)] as const)
      .map(([from, to]) => ({ text: `${from}-${to}`, has: (v: number) => v >= from && v <= to })),
    fc.tuple(value, step).map(([from, by]) => ({
      text: `${from}/${by}`,
      has: (v: number) => v >= from && (v - from) % by === 0,
    })),
    step.map((by) => ({ text: `*/${by}`, has: (v: number) => (v - least) % by === 0 })),
  );
  return fc.oneof(
    fc.constant({ text: '*', has: () => true }),
    fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => ({
      text: items.map(({ text }) => text).join(','),
      has: (v: number) => items.some(({ has }) => has(v)),
    })),
  );
}

const unrestricted: Drawn = { text: '?', has: () => true };
const days = fc.oneof(
  field(1, 31).map((dayOfMonth) => ({ dayOfMonth, dayOfWeek: unrestricted })),
  field(1, 7).map((dayOfWeek) => ({ dayOfMonth: unrestricted, dayOfWeek })),
);

test('a cron is due at the first minute that all its fields allow, and at none before', () => {
  fc.assert(
    fc.property(
      field(0, 59),
      field(0, 23),
      days,
      field(1, 12),
      instants,
      (minute, hour, day, month, after) => {
        const schedule: Schedule = `cron(${minute.text} ${hour.text} ${day.dayOfMonth.text} ${month.text} ${day.dayOfWeek.text} *)`;
        fc.pre(scheduleProblem(schedule) === undefined);
        const found = nextDue(schedule, after);
        expect(found?.getTime()).toBe(search(minute, hour, day, month, after));
      },
    ),
    { numRuns: 300 },
  );
});

/** The plain way: every day in turn, and every minute of the first days that fit. */
function search(
  minute: Drawn,
  hour: Drawn,
  day: { readonly dayOfMonth: Drawn; readonly dayOfWeek: Drawn },
  month: Drawn,
  after: Date,
): number | undefined {
  const first = Date.UTC(after.getUTCFullYear(), after.getUTCMonth(), after.getUTCDate());
  for (let offset = 0; offset < 366 * 9; offset++) {
    const date = new Date(first + offset * 1440 * MINUTE_MS);
    const fits =
      month.has(date.getUTCMonth() + 1) &&
      day.dayOfMonth.has(date.getUTCDate()) &&
      day.dayOfWeek.has(date.getUTCDay() + 1);
    if (!fits) continue;
    for (let of = 0; of < 1440; of++) {
      const at = date.getTime() + of * MINUTE_MS;
      if (at > after.getTime() && hour.has(Math.floor(of / 60)) && minute.has(of % 60)) return at;
    }
  }
  return undefined;
}
