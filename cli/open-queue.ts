/** The queue that a command sends kicks to: the deployed one if BUCARDO_QUEUE_URL says so, else that of a running `bucardo dev`. */
import { readSettings } from '../shared/config/environment.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { createKickQueue, type KickQueue } from '../shared/queue/kick-queue.ts';
import { readDevState } from './dev-state.ts';

/** @throws BUC-DEV-NOT-RUNNING */
export function openQueue(configFile: string): KickQueue {
  const { queueUrl } = readSettings();
  if (queueUrl !== undefined) return createKickQueue({ queueUrl });
  const dev = readDevState(configFile);
  if (dev === undefined) throw new BucardoError('BUC-DEV-NOT-RUNNING');
  return createKickQueue({ queueUrl: dev.queueUrl, endpoint: dev.endpoint, region: dev.region });
}
