/** Where a database's URL comes from: a reference, or a plain URL without a password. No text here quotes the value. */
import { kindOf } from './kind-of.ts';
import type { ValueRef } from './types.ts';

/** What is wrong with a configured `url`, or undefined. */
export function urlProblem(input: unknown): string | undefined {
  if (typeof input === 'string') return plainUrlProblem(input);
  if (input === undefined) {
    return "is missing; write env('NAME'), secret('id'), parameter('name') or a URL without a password (process.env.NAME is read too early: env('NAME') is looked up when it is needed)";
  }
  if (isReferenceLike(input)) return referenceProblem(input);
  return `must be env('NAME'), secret('id'), parameter('name') or a URL without a password, not ${kindOf(input)}`;
}

/** Whether a connection URL is one that Postgres understands. Says nothing of passwords. */
function isPostgresUrl(text: string): boolean {
  return ['postgres:', 'postgresql:'].includes(parseUrl(text)?.protocol ?? '');
}

function plainUrlProblem(text: string): string | undefined {
  const url = parseUrl(text);
  if (url === undefined ? looksLikePassword(text) : holdsPassword(url)) {
    return "holds a password, which must not be in the file; put the URL into an environment variable or a secret and write env('NAME'), secret('id') or parameter('name')";
  }
  if (url === undefined) return 'cannot be read as a URL; write postgres://USER@HOST:PORT/DATABASE';
  if (!isPostgresUrl(text)) return 'is no Postgres URL; it must begin with postgres:// or postgresql://';
  return undefined;
}

/** An unescaped / in a password ends the host early, which leaves an @ in the path. */
function holdsPassword(url: URL): boolean {
  const named = [...url.searchParams.keys()].some((key) => /^(ssl)?password$/i.test(key));
  return url.password !== '' || url.pathname.includes('@') || named;
}

/** A password may itself be what makes the URL unreadable. */
function looksLikePassword(text: string): boolean {
  return /:\/\/[^\s@]*:[^\s]*@/.test(text);
}

function referenceProblem(reference: Readonly<Record<keyof Reference, unknown>>): string | undefined {
  switch (reference.kind) {
    case 'env':
      return typeof reference.name === 'string' && /^[A-Za-z_]\w*$/.test(reference.name)
        ? undefined
        : "names no environment variable; env() takes the variable's name, such as env('EAST_URL'), not its value";
    case 'secret': {
      // Source: Secrets Manager's rule for names; ARNs add the colon.
      if (
        typeof reference.id !== 'string' ||
        !/^[\w/+=.@:!-]{1,2048}$/.test(reference.id) ||
        isUrl(reference.id)
      )
        return "names no secret; secret() takes a secret's name or ARN, such as secret('bucardo/east')";
      if (reference.field !== undefined && (typeof reference.field !== 'string' || reference.field === ''))
        return "has a field that is no name; write secret('id', { field: 'url' })";
      return undefined;
    }
    case 'parameter':
      // Source: Parameter Store's rule for names; ARNs add the colon.
      return typeof reference.name === 'string' &&
        /^[\w/.:-]{1,2048}$/.test(reference.name) &&
        !isUrl(reference.name)
        ? undefined
        : "names no parameter; parameter() takes a parameter's name or ARN, such as parameter('/bucardo/east')";
    default:
      return "is no reference; write env('NAME'), secret('id') or parameter('name')";
  }
}

interface Reference {
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly id?: unknown;
  readonly field?: unknown;
}

function isReferenceLike(input: unknown): input is Readonly<Record<keyof Reference, unknown>> {
  return typeof input === 'object' && input !== null && 'kind' in input;
}

function isUrl(text: string): boolean {
  return text.includes('://');
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/**
 * Equal for two configured `url`s that are certainly of one database: the same reference, or plain URLs of the same server and
 * database, whoever logs in. Undefined for what is no URL.
 */
export function databaseKey(input: unknown): string | undefined {
  if (urlProblem(input) !== undefined) return undefined;
  if (isReferenceLike(input)) {
    const { kind, name, id, field } = input;
    return JSON.stringify([kind, name, id, field]);
  }
  const url = typeof input === 'string' ? parseUrl(input) : undefined;
  if (url === undefined) return undefined;
  const host = url.searchParams.get('host') ?? url.hostname;
  const port = url.searchParams.get('port') ?? url.port;
  // As for psql: without a name the database is that of the user.
  const database = url.pathname.length > 1 ? url.pathname.slice(1) : url.username;
  return JSON.stringify([host.toLowerCase(), port === '' ? '5432' : port, database]);
}

/** What a reference is called in messages: never its value. */
export function describeReference(reference: ValueRef): string {
  if (reference.kind !== 'secret') return `${reference.kind}('${reference.name}')`;
  return reference.field === undefined
    ? `secret('${reference.id}')`
    : `secret('${reference.id}', { field: '${reference.field}' })`;
}
