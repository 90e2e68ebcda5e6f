/** The kick function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { requireQueueUrl } from '../../shared/queue/require-queue-url.ts';
import { withFleetDatabase } from '../../shared/config/with-fleet-database.ts';
import { powertoolsLog } from '../../shared/telemetry/powertools.ts';
import { createKickHandler } from './create-handler.ts';

const settings = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });

export const handler = createKickHandler({
  fleet,
  queue: createKickQueue({ queueUrl: requireQueueUrl(settings.queueUrl) }),
  withDatabase: withFleetDatabase(fleet, 'kick'),
  log: powertoolsLog('kick', settings.logLevel),
});
