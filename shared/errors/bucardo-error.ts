/**
 * The one error type that people see: a stable code, what it concerns, what happens next, what to do.
 * Texts never hold row values or secrets: details are names (tables, columns, constraints) and SQLSTATEs only.
 */
import { type ErrorCode, errorCodes, type Retry } from './codes.ts';

/** What an error concerns. Names only, never values. */
export interface Concern {
  readonly sync?: string | undefined;
  readonly database?: string | undefined;
  /** `schema.table`, quoted where Postgres would quote it. */
  readonly relation?: string | undefined;
  readonly column?: string | undefined;
}

/** One of several things that are wrong with an input. */
export interface Problem {
  /** Where in the input: `syncs.orders.targets[1]`. */
  readonly path: string;
  /** What is wrong there and what to do about it. No values that may be secret. */
  readonly text: string;
}

export interface BucardoErrorOptions extends Concern {
  /** One sentence in addition to the code's title: names, counts, SQLSTATE. No row values, no secrets. */
  readonly detail?: string | undefined;
  /** Replaces the code's general remedy where something more exact can be said. */
  readonly remedy?: string | undefined;
  /** Everything that is wrong, where one error reports it all; the message lists one problem a line. */
  readonly problems?: readonly Problem[] | undefined;
  readonly sqlstate?: string | undefined;
  readonly cause?: unknown;
}

export class BucardoError extends Error {
  override readonly name = 'BucardoError';
  readonly code: ErrorCode;
  readonly concern: Concern;
  readonly detail: string | undefined;
  readonly remedy: string;
  readonly problems: readonly Problem[];
  readonly retry: Retry;
  readonly sqlstate: string | undefined;

  constructor(code: ErrorCode, options: BucardoErrorOptions = {}) {
    const { sync, database, relation, column, detail, problems = [], sqlstate } = options;
    const concern = { sync, database, relation, column };
    const lines = problems.map(({ path, text }) => `\n  ${path}: ${text}`);
    super(`${describe(code, concern, detail)}${lines.join('')}`, { cause: options.cause });
    this.code = code;
    this.concern = concern;
    this.detail = detail;
    this.remedy = options.remedy ?? errorCodes[code].remedy;
    this.problems = problems;
    this.retry = errorCodes[code].retry;
    this.sqlstate = sqlstate;
  }

  /** The same error with more known about what it concerns; what is already known stays. */
  with(concern: Concern): BucardoError {
    return new BucardoError(this.code, {
      ...concern,
      ...definedOnly(this.concern),
      detail: this.detail,
      remedy: this.remedy,
      problems: this.problems,
      sqlstate: this.sqlstate,
      cause: this.cause,
    });
  }

  /** Several lines for a terminal: code and title, what it concerns, what to do. */
  toText(): string {
    return `${this.code}: ${this.message}\n  What to do: ${this.remedy}`;
  }
}

/** Anything thrown, as a BucardoError; unknown errors become BUC-UNEXPECTED with the original as cause. */
export function asBucardoError(error: unknown): BucardoError {
  if (error instanceof BucardoError) return error;
  const name = error instanceof Error ? error.name : typeof error;
  return new BucardoError('BUC-UNEXPECTED', { detail: name, cause: error });
}

function describe(code: ErrorCode, concern: Concern, detail: string | undefined): string {
  const where = Object.entries(concern)
    .filter(([, name]) => name !== undefined)
    .map(([kind, name]) => `${kind} ${name}`)
    .join(', ');
  return `${errorCodes[code].title}${where === '' ? '' : ` (${where})`}${detail === undefined ? '' : `: ${detail}`}`;
}

function definedOnly(concern: Concern): Concern {
  return Object.fromEntries(Object.entries(concern).filter(([, value]) => value !== undefined));
}
