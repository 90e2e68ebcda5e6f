/**
 * What Postgres and its driver report, as the project's errors. Decided by SQLSTATE and driver codes in tables; message
 * text only where the driver gives nothing better. Messages are passed on only for classes that never quote row values.
 */
import { BucardoError, type Concern } from '../errors/bucardo-error.ts';
import type { ErrorCode } from '../errors/codes.ts';
import { userFunctionsIn } from './user-functions.ts';

/** Most exact first: a whole SQLSTATE, then its class (first two characters). */
const BY_SQLSTATE: Readonly<Record<string, ErrorCode>> = {
  '08': 'BUC-DB-UNREACHABLE',
  '21': 'BUC-ROW-REFUSED',
  '22': 'BUC-ROW-REFUSED',
  '23': 'BUC-ROW-REFUSED',
  '44': 'BUC-ROW-REFUSED',
  '25006': 'BUC-DB-READ-ONLY',
  '25P03': 'BUC-DB-TIMEOUT',
  '25P04': 'BUC-DB-TIMEOUT',
  '28': 'BUC-DB-AUTH',
  '3D000': 'BUC-DB-AUTH',
  '40': 'BUC-DB-LOCKED',
  '42501': 'BUC-DB-RIGHTS',
  '42P01': 'BUC-TABLE-MISSING',
  '53': 'BUC-DB-FULL',
  '54': 'BUC-DB-LIMIT',
  '55P03': 'BUC-DB-LOCKED',
  '57014': 'BUC-DB-LOCKED',
  '57P05': 'BUC-DB-TIMEOUT',
  '57': 'BUC-DB-UNREACHABLE',
  '58030': 'BUC-DB-FULL',
};

/** Node's socket and resolver errors, all of which mean that nobody answered; and what each says of it. */
const UNREACHABLE: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nothing listens at that host and port'],
  ['ECONNRESET', 'the connection broke off'],
  ['EPIPE', 'the connection broke off'],
  ['ETIMEDOUT', 'the host did not answer in time'],
  ['EHOSTUNREACH', 'there is no way to the host'],
  ['ENETUNREACH', 'there is no way to the host’s network'],
  ['ENOTFOUND', 'the host name does not resolve'],
  ['EAI_AGAIN', 'the host name cannot be resolved now'],
  ['ENOENT', 'there is no such socket file'],
]);

/** Data exceptions have messages that quote the value; the names of the common ones say enough. */
const DATA_EXCEPTIONS: Readonly<Record<string, string>> = {
  '22001': 'value too long for the column’s type',
  '22003': 'number out of range for the column’s type',
  '22007': 'not a valid date or time',
  '22008': 'date or time out of range',
  '22021': 'a character that the target’s encoding lacks',
  '22P02': 'text that the column’s type cannot read',
  '22P05': 'a character that cannot be converted',
  '23502': 'NULL in a NOT NULL column',
  '23503': 'foreign key violated',
  '23505': 'unique constraint violated',
  '23514': 'check constraint violated',
  '23P01': 'exclusion constraint violated',
  '428C9': 'a generated column cannot be written',
  P0001: 'raised by a trigger or rule',
};

/** Classes whose primary message holds names and settings only, never row values. */
const CLASSES_WITH_SAFE_MESSAGES = new Set([
  '08',
  '25',
  '28',
  '3D',
  '3F',
  '40',
  '42',
  '53',
  '55',
  '57',
  '58',
]);

/**
 * Classes whose message says more than any name for it could, but may quote a value: `word is too long in tsquery: "…"`. Sizes and
 * limits are numbers. In these whatever is in quotes is left out, but for names.
 */
const CLASSES_WITH_USEFUL_MESSAGES = new Set(['54', 'XX']);

const QUOTED = /(\b[a-z]+ )?["„“”«‚‘’「'][^"„“”»‚‘’」']*(?:["“”»‘’」']|$)/g;

const NAMED_KINDS = new Set(
  'index table relation column constraint function type schema database sequence trigger partition collation extension operator role'.split(
    ' ',
  ),
);

/**
 * Source files of procedural languages: an error that a user's function raises has whatever SQLSTATE and message its author chose, so
 * the message may quote a row.
 */
const RAISED_BY_USERS = /^(pl_exec|plpy_|plperl|pltcl|plv8|pljava)/;

interface DriverError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly schema?: unknown;
  readonly table?: unknown;
  readonly column?: unknown;
  readonly constraint?: unknown;
  /** Postgres's CONTEXT: what was running. Quotes values. */
  readonly where?: unknown;
  /** Of Postgres's source, where the error was raised. */
  readonly file?: unknown;
  readonly routine?: unknown;
}

/** @param concern at least the database's name in the configuration */
export function fromDriverError(error: unknown, concern: Concern): BucardoError {
  if (error instanceof BucardoError) return error.with(concern);
  const known: DriverError = typeof error === 'object' && error !== null ? error : {};
  const code = typeof known.code === 'string' ? known.code : '';
  const message = typeof known.message === 'string' ? known.message : '';

  if (
    /^(CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code) ||
    /does not support SSL|SSL connections?/.test(message)
  ) {
    return new BucardoError('BUC-DB-TLS', { ...concern, detail: code === '' ? message : code, cause: error });
  }
  const unreachable = UNREACHABLE.get(code);
  if (unreachable !== undefined) {
    return new BucardoError('BUC-DB-UNREACHABLE', {
      ...concern,
      detail: `${unreachable} (${code})`,
      cause: error,
    });
  }
  if (/^[0-9A-Z]{5}$/.test(code)) {
    return new BucardoError(codeOf(code, known), {
      ...concern,
      detail: detailOf(code, message, known),
      sqlstate: code,
      cause: error,
    });
  }
  // The driver reports these without any code.
  if (/timeout expired/i.test(message)) {
    return new BucardoError('BUC-DB-UNREACHABLE', {
      ...concern,
      detail: 'the server did not answer in time',
      cause: error,
    });
  }
  if (/timeout|terminated|not queryable|closed|Connection ended/i.test(message)) {
    return new BucardoError('BUC-DB-UNREACHABLE', {
      ...concern,
      detail: 'the connection broke off',
      cause: error,
    });
  }
  if (/password must be a string|SASL/.test(message)) {
    return new BucardoError('BUC-DB-AUTH', {
      ...concern,
      detail: 'the server wants a password',
      cause: error,
    });
  }
  return new BucardoError('BUC-UNEXPECTED', { ...concern, cause: error });
}

function codeOf(sqlstate: string, error: DriverError): ErrorCode {
  // A table or right that a user's trigger lacks is not one that ours lack.
  if (sqlstate.startsWith('42') && userFunctionsIn(error.where).length > 0) return 'BUC-USER-CODE';
  return BY_SQLSTATE[sqlstate] ?? BY_SQLSTATE[sqlstate.slice(0, 2)] ?? 'BUC-DB-FAILED';
}

function detailOf(sqlstate: string, message: string, error: DriverError): string {
  const text = messageOf(sqlstate, message, error) ?? DATA_EXCEPTIONS[sqlstate] ?? 'refused';
  const names = (['schema', 'table', 'column', 'constraint'] as const)
    .map((kind) => [kind, error[kind]] as const)
    .filter(([, name]) => typeof name === 'string' && name !== '')
    .map(([kind, name]) => `${kind} ${String(name)}`);
  const functions = userFunctionsIn(error.where).map((name) => `${name}()`);
  const place = functions.length === 0 ? '' : `, in function ${functions.join(', called by ')}`;
  return `${text}${names.length === 0 ? '' : ` (${names.join(', ')})`}${place}, SQLSTATE ${sqlstate}`;
}

/** The message, if it may be shown. */
function messageOf(sqlstate: string, message: string, error: DriverError): string | undefined {
  if (isRaisedByUser(error)) return undefined;
  const errorClass = sqlstate.slice(0, 2);
  if (CLASSES_WITH_SAFE_MESSAGES.has(errorClass)) return message;
  if (!CLASSES_WITH_USEFUL_MESSAGES.has(errorClass)) return undefined;
  return message.replaceAll(QUOTED, (quoted: string, word: string | undefined) =>
    word !== undefined && NAMED_KINDS.has(word.trim()) ? quoted : `${word ?? ''}“…”`,
  );
}

/** RAISE and ASSERT of plpgsql, and what the other languages raise. plpgsql's own errors about its code are in the same file. */
function isRaisedByUser({ file, routine }: DriverError): boolean {
  if (typeof file !== 'string' || !RAISED_BY_USERS.test(file)) return false;
  return file !== 'pl_exec.c' || routine === 'exec_stmt_raise' || routine === 'exec_stmt_assert';
}
