/** The deployed programs cannot do without the queue's URL. */
import { BucardoError } from '../errors/bucardo-error.ts';

/** @throws BUC-QUEUE-FAILED if there is none */
export function requireQueueUrl(queueUrl: string | undefined): string {
  if (queueUrl !== undefined) return queueUrl;
  throw new BucardoError('BUC-QUEUE-FAILED', {
    detail: 'no queue URL is set',
    remedy: 'Set BUCARDO_QUEUE_URL to the URL of the queue of kicks.',
  });
}
