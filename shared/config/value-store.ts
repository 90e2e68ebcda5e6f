/** What Secrets Manager and Parameter Store have in common: a text by name, kept for a bounded time, and errors without values. */

/** A service that holds texts. */
export interface Store {
  readonly name: string;
  /** What the service's error codes mean, for people. */
  readonly reasons: Readonly<Record<string, string>>;
  readonly read: (id: string, signal: AbortSignal) => Promise<string>;
}

/** Why a value is not to be had, in words without any value. Internal: people see BUC-SECRET-MISSING. */
export class NotThere extends Error {}

/** @throws NotThere */
export function notThere(reason: string): never {
  throw new NotThere(reason);
}

/** How long a rotated value may go unnoticed by a lane that has no failed login to tell it. */
const KEPT_MS = 5 * 60_000;

/** A value as new as this is not asked for again, so that a password that stays wrong does not wear the service out. */
const NEW_MS = 5_000;

/** Connecting waits for this, and a run has minutes: an endpoint that does not answer must fail soon. */
const TIMEOUT_MS = 5_000;

interface Kept {
  /** The whole text: several references may name its fields. Shared by callers that ask at the same time. */
  readonly text: Promise<string>;
  readonly sinceMs: number;
  untilMs: number;
}

const kept = new Map<string, Kept>();

/** @throws NotThere */
export async function readKept(store: Store, id: string): Promise<string> {
  const key = keyOf(store, id);
  const known = kept.get(key);
  const nowMs = Date.now();
  if (known !== undefined && nowMs < known.untilMs) return await known.text;
  const entry: Kept = { text: fetchText(store, id), sinceMs: nowMs, untilMs: nowMs + KEPT_MS };
  kept.set(key, entry);
  try {
    return await entry.text;
  } catch (error) {
    // A failure is not kept; a newer attempt's entry is not this one's to remove.
    if (kept.get(key) === entry) kept.delete(key);
    throw error;
  }
}

/** Makes the next `readKept` ask the service again, or the first one after it has not been asked for a moment. */
export function forget(store: Store, id: string): void {
  const known = kept.get(keyOf(store, id));
  if (known !== undefined) known.untilMs = Math.min(known.untilMs, known.sinceMs + NEW_MS);
}

function keyOf(store: Store, id: string): string {
  return `${store.name} ${id}`;
}

async function fetchText({ name, reasons, read }: Store, id: string): Promise<string> {
  try {
    return await read(id, AbortSignal.timeout(TIMEOUT_MS));
  } catch (error) {
    throw asNotThere(name, error, reasons);
  }
}

/** What the SDK or a service said, in words for people. */
export function asNotThere(
  service: string,
  error: unknown,
  reasons: Readonly<Record<string, string>> = {},
): NotThere {
  if (error instanceof NotThere) return error;
  return new NotThere(reasonOf(service, error, reasons), { cause: error });
}

function reasonOf(service: string, error: unknown, reasons: Readonly<Record<string, string>>): string {
  const name = error instanceof Error ? error.name : 'unknown';
  if (error instanceof Error && /^Region (is missing|not accepted)/.test(error.message))
    return 'no AWS region is set (AWS_REGION)';
  if (name === 'CredentialsProviderError') return 'there are no AWS credentials here';
  if (name === 'AbortError' || name === 'TimeoutError')
    return `${service} did not answer within ${TIMEOUT_MS / 1000} s`;
  return reasons[name] ?? `${service} answered ${name}`;
}
