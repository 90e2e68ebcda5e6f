/** The replicate function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { CONNECTIONS_PER_RUN } from '../../shared/config/concurrency.ts';
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { forgetUrl, resolveUrl } from '../../shared/config/secrets.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { requireQueueUrl } from '../../shared/queue/require-queue-url.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { powertoolsLog, powertoolsMetrics } from '../../shared/telemetry/powertools.ts';
import { createReplicateHandler } from './create-handler.ts';

const settings = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });

export const handler = createReplicateHandler({
  fleet,
  resolveUrl,
  forgetUrl,
  queue: createKickQueue({ queueUrl: requireQueueUrl(settings.queueUrl) }),
  runLane,
  // One run at a time here, so this bounds what the process has at any database: @see maximumConcurrency.
  connections: new ConnectionCache({ mostPerDatabase: CONNECTIONS_PER_RUN }),
  log: powertoolsLog('replicate', settings.logLevel),
  metrics: powertoolsMetrics(fleet.name),
});
