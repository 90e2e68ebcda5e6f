/**
 * From a reference to the connection URL behind it, at the moment when it is needed. Values stay in memory for a bounded
 * time and appear in no error: what is told is the reference's name and the service's error code.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import { describeReference } from './database-url.ts';
import { readVariable } from './environment.ts';
import { forgetTokens, withToken } from './iam-login.ts';
import { parameterStore } from './parameter-store.ts';
import { secretsManager } from './secrets-manager.ts';
import type { Database, IamLogin, ValueRef } from './types.ts';
import { forget, NotThere, readKept, type Store } from './value-store.ts';

type SecretRef = Extract<ValueRef, { kind: 'secret' }>;

/**
 * The database's connection URL, from memory if it was asked for in the last minutes.
 * @throws BUC-SECRET-MISSING with the database's name
 */
export async function resolveUrl({ name, url, iam }: Database): Promise<string> {
  try {
    const text = typeof url === 'string' ? url : await resolveValue(url);
    return iam === undefined ? text : await signed(text, iam);
  } catch (error) {
    throw error instanceof BucardoError ? error.with({ database: name }) : error;
  }
}

/** Makes `resolveUrl` ask again, a few seconds after it last did at the earliest: a login was refused, so the value may have been rotated. */
export function forgetUrl({ url, iam }: Database): void {
  if (typeof url !== 'string' && url.kind === 'secret') forget(secretsManager, url.id);
  if (typeof url !== 'string' && url.kind === 'parameter') forget(parameterStore, url.name);
  if (iam !== undefined) forgetTokens(iam);
}

/**
 * The same as `resolveUrl` for programs that connect rarely, and need not wait until what is kept is too old.
 * @throws BUC-SECRET-MISSING with the database's name
 */
export async function freshUrl(database: Database): Promise<string> {
  forgetUrl(database);
  return await resolveUrl(database);
}

async function resolveValue(reference: ValueRef): Promise<string> {
  switch (reference.kind) {
    case 'env':
      return readVariable(reference.name) ?? fail(reference, 'the variable is not set');
    case 'secret':
      return pick(reference, await stored(secretsManager, reference.id, reference));
    case 'parameter':
      return (await stored(parameterStore, reference.name, reference)).trim();
    default:
      return reference satisfies never;
  }
}

async function stored(store: Store, id: string, reference: ValueRef): Promise<string> {
  try {
    return await readKept(store, id);
  } catch (error) {
    if (error instanceof NotThere) throw missing(reference, error.message, error.cause ?? error);
    throw error;
  }
}

async function signed(text: string, login: IamLogin): Promise<string> {
  try {
    return await withToken(text, login);
  } catch (error) {
    if (!(error instanceof NotThere)) throw error;
    throw new BucardoError('BUC-SECRET-MISSING', {
      detail: `no token for the login by IAM could be signed: ${error.message}`,
      remedy: 'Give the program AWS credentials and a region, and the URL a host name.',
      cause: error.cause ?? error,
    });
  }
}

function pick(reference: SecretRef, text: string): string {
  const { field } = reference;
  if (field === undefined) {
    if (text.trimStart().startsWith('{')) {
      throw missing(
        reference,
        "the secret holds a JSON object; name the field that is the URL: secret('…', { field: '…' })",
      );
    }
    return text.trim();
  }
  const value = fieldOf(text, field);
  if (typeof value !== 'string' || value.trim() === '') {
    throw missing(reference, `the secret holds no JSON object with text in '${field}'`);
  }
  return value.trim();
}

/** The parser's own error quotes what it read, so it is not passed on. */
function fieldOf(text: string, field: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || !Object.hasOwn(parsed, field)) return undefined;
    return (parsed as Readonly<Record<string, unknown>>)[field];
  } catch {
    return undefined;
  }
}

function missing(reference: ValueRef, detail: string, cause?: unknown): BucardoError {
  return new BucardoError('BUC-SECRET-MISSING', {
    detail: `${describeReference(reference)}: ${detail}`,
    cause,
  });
}

function fail(reference: ValueRef, detail: string): never {
  throw missing(reference, detail);
}
