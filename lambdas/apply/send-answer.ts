/** CloudFormation's answer protocol for custom resources: a PUT to the address that the request brought. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

export type CustomResourceAnswer =
  | { readonly status: 'SUCCESS' }
  /** `reason` is shown to whoever deploys. */
  | { readonly status: 'FAILED'; readonly reason: string };

/** CloudFormation waits an hour for an answer that does not come, so a lost connection is worth some attempts. */
const ATTEMPTS = 5;
const ATTEMPT_TIMEOUT_MS = 10_000;
const PAUSE_MS = 1_000;

/** CloudFormation refuses answers over 4 KiB. */
const LONGEST_REASON = 2_000;

/**
 * @param pauseMs before the second attempt; before later ones it is a multiple. Shorter in tests
 * @throws BUC-UNEXPECTED if CloudFormation's address takes no answer; the address itself is a secret and not named
 */
export async function sendAnswer(
  event: CloudFormationCustomResourceEvent,
  answer: CustomResourceAnswer,
  pauseMs = PAUSE_MS,
): Promise<void> {
  const body = JSON.stringify({
    Status: answer.status,
    ...(answer.status === 'FAILED' ? { Reason: answer.reason.slice(0, LONGEST_REASON) } : {}),
    // The same for ever: a changed one would make CloudFormation delete the former resource.
    PhysicalResourceId: 'PhysicalResourceId' in event ? event.PhysicalResourceId : event.LogicalResourceId,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
  });
  for (let attempt = 1; ; attempt += 1) {
    if (await put(event.ResponseURL, body)) return;
    if (attempt === ATTEMPTS) {
      throw new BucardoError('BUC-UNEXPECTED', { detail: 'CloudFormation did not take the answer' });
    }
    await sleep(pauseMs * attempt);
  }
}

async function put(url: string, body: string): Promise<boolean> {
  try {
    const { ok } = await fetch(url, {
      method: 'PUT',
      body,
      // The address is signed without a content type.
      headers: { 'content-type': '' },
      signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS),
    });
    return ok;
  } catch {
    return false;
  }
}
