/** The sweep function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { purge } from '../../shared/capture/purge.ts';
import { watchCapture } from '../../shared/capture/watch-capture.ts';
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { freshUrl } from '../../shared/config/secrets.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { REPLICATE_TIMEOUT_SECONDS } from '../../shared/queue/names.ts';
import { requireQueueUrl } from '../../shared/queue/require-queue-url.ts';
import { powertoolsLog, powertoolsMetrics } from '../../shared/telemetry/powertools.ts';
import { createSweepHandler } from './create-handler.ts';

/** EventBridge's rules kick schedules on time; the sweep only makes up for one that did not: its own interval, and some slack. */
const SCHEDULE_GRACE_SECONDS = 90;

const settings = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });
const log = powertoolsLog('sweep', settings.logLevel);

export const handler = createSweepHandler({
  fleet,
  // One connection a minute for each source: a rotated password is noticed at once.
  resolveUrl: freshUrl,
  queue: createKickQueue({ queueUrl: requireQueueUrl(settings.queueUrl) }),
  log,
  metrics: powertoolsMetrics(fleet.name),
  now: Date.now,
  scheduleGraceSeconds: SCHEDULE_GRACE_SECONDS,
  watch: (source) => watchCapture(source, log),
  // Every sync has one source, so deltas are kept only as long as a run that was thought dead may still need them.
  purge: (source, deadlineMs) =>
    purge(source, { retentionSeconds: REPLICATE_TIMEOUT_SECONDS, log, deadlineMs }),
});
