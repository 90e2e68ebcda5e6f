/**
 * From a reference to the connection URL behind it, at the moment when it is needed. Values stay in memory for a bounded
 * time and appear in no error: what is told is the reference's name and the service's error code.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import { describeReference } from './database-url.ts';
import { readVariable } from './environment.ts';
import type { Database, ValueRef } from './types.ts';

/** How long a rotated secret may go unnoticed by a lane that has no failed login to tell it. */
const KEPT_MS = 5 * 60_000;

/** Connecting waits for this, and a run has minutes: an endpoint that does not answer must fail soon. */
const TIMEOUT_MS = 5_000;

type SecretRef = Extract<ValueRef, { kind: 'secret' }>;

interface Kept {
  /** The whole secret: several references may name its fields. Shared by callers that ask at the same time. */
  readonly text: Promise<string>;
  readonly untilMs: number;
}

const kept = new Map<string, Kept>();

/**
 * The database's connection URL.
 * @throws BUC-SECRET-MISSING with the database's name
 */
export async function resolveUrl(database: Database): Promise<string> {
  const { name, url } = database;
  if (typeof url === 'string') return url;
  try {
    return await resolveValue(url);
  } catch (error) {
    throw error instanceof BucardoError ? error.with({ database: name }) : error;
  }
}

/** Makes the next `resolveUrl` ask again: after a login was refused, the secret may have been rotated. */
export function forgetSecret(url: Database['url']): void {
  if (typeof url !== 'string' && url.kind === 'secret') kept.delete(url.id);
}

async function resolveValue(reference: ValueRef): Promise<string> {
  if (reference.kind === 'env') {
    const value = readVariable(reference.name);
    if (value === undefined) throw missing(reference, 'the variable is not set');
    return value;
  }
  return pick(reference, await secretText(reference));
}

async function secretText(reference: SecretRef): Promise<string> {
  const known = kept.get(reference.id);
  if (known !== undefined && known.untilMs > Date.now()) return await known.text;
  const entry: Kept = { text: fetchSecret(reference), untilMs: Date.now() + KEPT_MS };
  kept.set(reference.id, entry);
  try {
    return await entry.text;
  } catch (error) {
    // A failure is not kept; a newer attempt's entry is not this one's to remove.
    if (kept.get(reference.id) === entry) kept.delete(reference.id);
    throw error;
  }
}

async function fetchSecret(reference: SecretRef): Promise<string> {
  // The SDK takes tens of milliseconds to load; configurations without secret() never need it.
  const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = new SecretsManagerClient({ maxAttempts: 3 });
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: reference.id }), {
      abortSignal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (SecretString === undefined) throw missing(reference, 'the secret holds no text');
    return SecretString;
  } catch (error) {
    if (error instanceof BucardoError) throw error;
    throw missing(reference, reasonOf(error), error);
  } finally {
    client.destroy();
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

const REASONS: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'there is no such secret in this account and region',
  AccessDeniedException: 'this role may not read the secret (secretsmanager:GetSecretValue)',
  DecryptionFailure: 'this role may not use the key of the secret (kms:Decrypt)',
  InvalidRequestException: 'the secret is being deleted',
  CredentialsProviderError: 'there are no AWS credentials here',
  AbortError: `Secrets Manager did not answer within ${TIMEOUT_MS / 1000} s`,
  TimeoutError: `Secrets Manager did not answer within ${TIMEOUT_MS / 1000} s`,
};

function reasonOf(error: unknown): string {
  const name = error instanceof Error ? error.name : 'unknown';
  if (error instanceof Error && error.message.startsWith('Region is missing'))
    return 'no AWS region is set (AWS_REGION)';
  return REASONS[name] ?? `Secrets Manager answered ${name}`;
}

function missing(reference: ValueRef, detail: string, cause?: unknown): BucardoError {
  return new BucardoError('BUC-SECRET-MISSING', {
    detail: `${describeReference(reference)}: ${detail}`,
    cause,
  });
}
