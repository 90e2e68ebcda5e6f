/** Telling people of a lane whose kick became a dead letter: an event on the account's bus, for rules of one's own. */
import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

export interface Announcement {
  readonly fleet: string;
  /** Undefined if the letter named no lane of the configuration. */
  readonly lane: string | undefined;
  readonly code: string;
  readonly message: string;
  /** Undefined if there is nothing to try. */
  readonly nextTrySeconds: number | undefined;
}

export type Announce = (announcement: Announcement) => Promise<void>;

const REQUEST_TIMEOUT_MS = 5_000;

/** Where nobody asked for events. */
export const announceNowhere: Announce = async () => {};

/** Source `bucardo`, detail type `Bucardo Dead Letter`; the detail is the announcement. */
export function announceOnEventBridge(): Announce {
  let client: EventBridgeClient | undefined;
  return async (announcement) => {
    const { EventBridgeClient, PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
    client ??= new EventBridgeClient({ maxAttempts: 3 });
    const { FailedEntryCount } = await client.send(
      new PutEventsCommand({
        Entries: [
          { Source: 'bucardo', DetailType: 'Bucardo Dead Letter', Detail: JSON.stringify(announcement) },
        ],
      }),
      { abortSignal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) },
    );
    if (FailedEntryCount !== 0)
      throw new BucardoError('BUC-QUEUE-FAILED', { detail: 'EventBridge took no event' });
  };
}
