/** The dead-letter function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { requireQueueUrl } from '../../shared/queue/require-queue-url.ts';
import { withFleetDatabase } from '../../shared/config/with-fleet-database.ts';
import { powertoolsLog, powertoolsMetrics } from '../../shared/telemetry/powertools.ts';
import { announceNowhere, announceOnEventBridge } from './announce.ts';
import { createDeadLetterHandler } from './create-handler.ts';

const settings = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });

export const handler = createDeadLetterHandler({
  fleet,
  queue: createKickQueue({ queueUrl: requireQueueUrl(settings.queueUrl) }),
  letters: createKickQueue({
    queueUrl: requireQueueUrl(settings.deadLetterQueueUrl, 'BUCARDO_DEAD_LETTER_QUEUE_URL'),
  }),
  withDatabase: withFleetDatabase(fleet, 'dead letters'),
  announce: settings.events ? announceOnEventBridge() : announceNowhere,
  log: powertoolsLog('dead-letter', settings.logLevel),
  metrics: powertoolsMetrics(fleet.name),
  now: Date.now,
});
