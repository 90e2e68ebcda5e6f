/**
 * Schedules as EventBridge writes them: `rate(5 minutes)`, and `cron(…)` with six fields, in UTC. The grammar is
 * EventBridge's documented one and nothing more, so that what passes here is not refused when it is deployed; the
 * calendar is croner's.
 */
import { Cron } from 'croner';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Schedule } from './types.ts';

type ParsedSchedule =
  | { readonly kind: 'rate'; readonly periodMs: number }
  /** `pattern` has croner's seven fields; names are replaced by numbers. */
  | { readonly kind: 'cron'; readonly pattern: string };

type Parsed<Value> = { readonly value: Value } | { readonly problem: string };

const UNIT_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** EventBridge counts days of the week from 1 = Sunday; croner does so with `alternativeWeekdays`. */
const CRON_OPTIONS = {
  mode: '7-part',
  timezone: 'UTC',
  paused: true,
  alternativeWeekdays: true,
  sloppyRanges: true,
} as const;

interface Field {
  readonly name: string;
  readonly least: number;
  readonly greatest: number;
  /** Names of the values, beginning with the least. */
  readonly names?: readonly string[];
  /** Forms that stand alone in this field. */
  readonly special?: RegExp;
}

// Source: the EventBridge user guide's cron expression reference.
const FIELDS: readonly Field[] = [
  { name: 'minutes', least: 0, greatest: 59 },
  { name: 'hours', least: 0, greatest: 23 },
  { name: 'day-of-month', least: 1, greatest: 31, special: /^(\?|L|([1-9]|[12]\d|3[01])W)$/ },
  {
    name: 'month',
    least: 1,
    greatest: 12,
    names: ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
  },
  {
    name: 'day-of-week',
    least: 1,
    greatest: 7,
    names: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'],
    special: /^(\?|[1-7]?L|[1-7]#[1-5])$/,
  },
  { name: 'year', least: 1970, greatest: 2199 },
];

/** The schedule's meaning, or what is wrong with it. */
function parseSchedule(text: string): Parsed<ParsedSchedule> {
  const [, kind, inner] = /^(rate|cron)\((.*)\)$/s.exec(text.trim()) ?? [];
  if (inner === undefined) {
    return {
      problem: "is no schedule; write 'rate(5 minutes)' or 'cron(0 3 * * ? *)', as EventBridge does",
    };
  }
  return kind === 'rate' ? parseRate(inner) : parseCron(inner);
}

/** What is wrong with a schedule, or undefined. */
export function scheduleProblem(text: string): string | undefined {
  const parsed = parseSchedule(text);
  return 'problem' in parsed ? parsed.problem : undefined;
}

/**
 * The first due moment after `after`, which is not itself one. A rate counts from `after`, the last run, as Bucardo's
 * checktime does. Undefined when a cron's years have passed.
 * @throws BUC-CONFIG-INVALID for a schedule that validation has not seen
 */
export function nextDue(schedule: Schedule, after: Date): Date | undefined {
  const parsed = parseSchedule(schedule);
  if ('problem' in parsed) {
    throw new BucardoError('BUC-CONFIG-INVALID', { detail: `the schedule ${parsed.problem}` });
  }
  const { value } = parsed;
  if (value.kind === 'rate') return new Date(after.getTime() + value.periodMs);
  return new Cron(value.pattern, CRON_OPTIONS).nextRun(after) ?? undefined;
}

function parseRate(inner: string): Parsed<ParsedSchedule> {
  // Five digits of days are 273 years: more would only leave the range of dates.
  const [, digits, unit, plural] = /^(0|[1-9]\d{0,4}) (minute|hour|day)(s?)$/.exec(inner) ?? [];
  if (digits === undefined || !isUnit(unit)) {
    return {
      problem: `is no rate; write a whole number, one space and minute(s), hour(s) or day(s): 'rate(5 minutes)'`,
    };
  }
  const value = Number(digits);
  if (value === 0) return { problem: 'is a rate of zero; one minute is the shortest' };
  if ((value === 1) === (plural === 's')) {
    const right = `rate(${value} ${unit}${value === 1 ? '' : 's'})`;
    return { problem: `is refused by EventBridge, which wants singular for 1 only; write '${right}'` };
  }
  return { value: { kind: 'rate', periodMs: value * UNIT_MS[unit] } };
}

function isUnit(text: string | undefined): text is keyof typeof UNIT_MS {
  return text === 'minute' || text === 'hour' || text === 'day';
}

function parseCron(inner: string): Parsed<ParsedSchedule> {
  const texts = inner.trim().split(/\s+/);
  if (texts.length !== FIELDS.length) {
    return {
      problem:
        `has ${inner.trim() === '' ? 0 : texts.length} fields; EventBridge's cron has six: ` +
        `minutes hours day-of-month month day-of-week year, for example 'cron(0 3 * * ? *)'`,
    };
  }
  const parts: string[] = [];
  for (const [index, field] of FIELDS.entries()) {
    const text = numbered(texts[index] ?? '', field);
    const problem = field.special?.test(text) === true ? undefined : fieldProblem(text, field);
    if (problem !== undefined) return { problem: `has a ${field.name} field that ${problem}` };
    // A lone L is the last day of the week, Saturday.
    parts.push(field.name === 'day-of-week' && text === 'L' ? '7' : text);
  }
  if ((parts[2] === '?') === (parts[4] === '?')) {
    return {
      problem: `must have ? in exactly one of day-of-month and day-of-week, for example 'cron(0 3 * * ? *)'`,
    };
  }
  const pattern = ['0', ...parts].join(' ');
  if (new Cron(pattern, CRON_OPTIONS).nextRun(new Date(-1)) === null) {
    return { problem: 'names a day that no calendar has' };
  }
  return { value: { kind: 'cron', pattern } };
}

/** The field in upper case with names replaced by their numbers. */
function numbered(text: string, { names, least }: Field): string {
  return text.toUpperCase().replaceAll(/[A-Z]{3}/g, (name) => {
    const index = names?.indexOf(name) ?? -1;
    return index === -1 ? name : String(index + least);
  });
}

/** A list of `*`, values, ranges, each perhaps with a step. */
function fieldProblem(text: string, { least, greatest }: Field): string | undefined {
  for (const item of text.split(',')) {
    const [, from, to, step] = /^(?:\*|(\d{1,4})(?:-(\d{1,4}))?)(?:\/(\d{1,4}))?$/.exec(item) ?? [];
    if (from === undefined && !item.startsWith('*')) return 'cannot be read';
    if (from === undefined && step === undefined && item !== '*') return 'cannot be read';
    const values = [from, to].filter((value) => value !== undefined).map(Number);
    if (values.some((value) => value < least || value > greatest)) return `must lie in ${least}–${greatest}`;
    if (to !== undefined && Number(from) > Number(to)) return 'has a range that runs backwards';
    if (step !== undefined && (Number(step) === 0 || Number(step) > greatest)) {
      return `has a step outside of 1–${greatest}`;
    }
  }
  return undefined;
}
