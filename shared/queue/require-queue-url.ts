/** The deployed programs cannot do without the queues' URLs. */
import { BucardoError } from '../errors/bucardo-error.ts';

/**
 * @param variable where it is expected, for people
 * @throws BUC-QUEUE-FAILED if there is none
 */
export function requireQueueUrl(queueUrl: string | undefined, variable = 'BUCARDO_QUEUE_URL'): string {
  if (queueUrl !== undefined) return queueUrl;
  throw new BucardoError('BUC-QUEUE-FAILED', {
    detail: 'no queue URL is set',
    remedy: `Set ${variable} to the URL of the queue.`,
  });
}
