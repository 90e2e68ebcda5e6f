/** What the SDK reports: whether trying again may help, and how to name it without quoting URLs or messages. */

interface SdkError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** Throttling answers with status 400 or 403, like a wrong request; only the name tells (SDK's own list, and SQS's). */
const THROTTLED = new Set([
  'OverLimit',
  'RequestThrottled',
  'RequestThrottledException',
  'RequestLimitExceeded',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
  'SlowDown',
]);

/** A request that SQS understood and refused will be refused again; silence, server errors and throttling pass. */
export function isWorthRetrying(error: unknown): boolean {
  const { name, $metadata } = fieldsOf(error);
  const status = $metadata?.httpStatusCode;
  if (typeof name === 'string' && THROTTLED.has(name)) return true;
  return status === undefined ? name !== 'CredentialsProviderError' : status >= 500 || status === 429;
}

/** Whether a receipt handle no longer stands for a hidden message: it was deleted, returned, or is visible again. */
export function isNoLongerHeld(error: unknown): boolean {
  const { name } = fieldsOf(error);
  return name === 'MessageNotInflight' || name === 'ReceiptHandleIsInvalid';
}

/** `ECONNREFUSED`, `QueueDoesNotExist (400)`. */
export function describeSqsError(error: unknown): string {
  const { name, code, $metadata } = fieldsOf(error);
  const kind = typeof code === 'string' && code !== '' ? code : typeof name === 'string' ? name : 'no answer';
  return $metadata?.httpStatusCode === undefined ? kind : `${kind} (${$metadata.httpStatusCode})`;
}

function fieldsOf(error: unknown): SdkError {
  return typeof error === 'object' && error !== null ? error : {};
}
