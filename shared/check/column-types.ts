/**
 * Whether every value of a source's column fits into a target's column of another type. Values travel as text, so this is
 * about what the target's type reads and keeps. Pure; knows the families where the answer is certain and says no otherwise.
 */

/** A type as `format_type` writes it, taken apart: `character varying(20)[]`. */
interface ParsedType {
  /** Without length and brackets: `character varying`, `timestamp without time zone`. */
  readonly name: string;
  /** Length, or precision and scale. */
  readonly numbers: readonly number[];
  readonly array: boolean;
}

/** Both as `format_type` gives them. */
export function alwaysFits(source: string, target: string): boolean {
  if (source === target) return true;
  const from = parseType(source);
  const to = parseType(target);
  if (from.array !== to.array) return false;
  return (
    fitsInteger(from, to) ||
    fitsNumeric(from, to) ||
    fitsFloat(from, to) ||
    fitsText(from, to) ||
    fitsBits(from, to) ||
    fitsTime(from, to) ||
    (from.name === 'cidr' && to.name === 'inet') ||
    (from.name === 'jsonb' && to.name === 'json')
  );
}

function parseType(text: string): ParsedType {
  const array = text.endsWith('[]');
  const scalar = array ? text.slice(0, -2) : text;
  const [, before = scalar, numbers, after = ''] = /^(.*?)\(([\d,-]+)\)(.*)$/.exec(scalar) ?? [];
  return {
    name: `${before}${after}`,
    numbers: numbers === undefined ? [] : numbers.split(',').map(Number),
    array,
  };
}

/** Decimal digits of the greatest value. Manual: "Numeric Types". */
const INTEGER_DIGITS: Readonly<Record<string, number>> = { smallint: 5, integer: 10, bigint: 19 };

function fitsInteger(from: ParsedType, to: ParsedType): boolean {
  const digits = INTEGER_DIGITS[from.name];
  const targetDigits = INTEGER_DIGITS[to.name];
  if (digits === undefined) return false;
  if (targetDigits !== undefined) return digits <= targetDigits;
  if (to.name === 'numeric') {
    const [precision, scale = 0] = to.numbers;
    return precision === undefined || (scale >= 0 && precision - scale >= digits);
  }
  // Whole numbers are exact up to 24 and 53 bits.
  if (to.name === 'real') return from.name === 'smallint';
  return to.name === 'double precision' && from.name !== 'bigint';
}

function fitsNumeric(from: ParsedType, to: ParsedType): boolean {
  if (from.name !== 'numeric' || to.name !== 'numeric') return false;
  const [toPrecision, toScale = 0] = to.numbers;
  if (toPrecision === undefined) return true;
  const [precision, scale = 0] = from.numbers;
  return precision !== undefined && toScale >= scale && toPrecision - toScale >= precision - scale;
}

function fitsFloat(from: ParsedType, to: ParsedType): boolean {
  return from.name === 'real' && to.name === 'double precision';
}

const TEXTS = new Set(['text', 'character varying', 'character']);

function fitsText(from: ParsedType, to: ParsedType): boolean {
  if (!TEXTS.has(from.name) || to.name === 'character' || !TEXTS.has(to.name)) return false;
  const [most] = to.numbers;
  if (most === undefined) return true;
  const [length] = from.numbers;
  return length !== undefined && length <= most;
}

function fitsBits(from: ParsedType, to: ParsedType): boolean {
  if (to.name !== 'bit varying' || (from.name !== 'bit' && from.name !== 'bit varying')) return false;
  const [most] = to.numbers;
  if (most === undefined) return true;
  // `bit` alone is bit(1).
  const [length = from.name === 'bit' ? 1 : undefined] = from.numbers;
  return length !== undefined && length <= most;
}

/** Digits of a second; six unless the type says less. */
const MOST_DIGITS = 6;

function fitsTime(from: ParsedType, to: ParsedType): boolean {
  const [digits = MOST_DIGITS] = from.numbers;
  const [targetDigits = MOST_DIGITS] = to.numbers;
  if (from.name === 'date') return to.name === 'timestamp without time zone';
  return from.name === to.name && /^(timestamp|time|interval)( |$)/.test(from.name) && digits <= targetDigits;
}
