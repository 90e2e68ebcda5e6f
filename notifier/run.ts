/** The notifier in the foreground until SIGTERM or SIGINT: what the container, systemd and `bucardo notifier` run. */
import { readSettings } from '../shared/config/environment.ts';
import { loadConfig, type LoadConfigOptions } from '../shared/config/load-config.ts';
import { freshUrl } from '../shared/config/secrets.ts';
import { createKickQueue } from '../shared/queue/kick-queue.ts';
import { requireQueueUrl } from '../shared/queue/require-queue-url.ts';
import { jsonLog } from '../shared/telemetry/log.ts';
import { startNotifier } from './start-notifier.ts';

/** Whatever happens to a stop, the process is gone before a container platform would kill it. */
const EXIT_WITHIN_MS = 4_500;

/**
 * Resolves when changes are waited for; the process then lives until it is told to stop.
 * @throws BUC-CONFIG-…, BUC-QUEUE-FAILED
 */
export async function runNotifier(options: LoadConfigOptions): Promise<void> {
  const { queueUrl, logLevel, health } = readSettings();
  const log = jsonLog((line) => process.stderr.write(line), logLevel);
  const { fleet } = await loadConfig(options);
  const queue = createKickQueue({ queueUrl: requireQueueUrl(queueUrl) });
  const notifier = await startNotifier({
    fleet,
    // Connecting is rare, and after a failover or a rotated password what is kept is the old one.
    resolveUrl: freshUrl,
    queue,
    log,
    health,
  });

  const stop = async (): Promise<void> => {
    setTimeout(() => process.exit(0), EXIT_WITHIN_MS).unref();
    await notifier.stop();
    queue.close();
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());

  await notifier.ready;
  process.stdout.write('ready\n');
}
