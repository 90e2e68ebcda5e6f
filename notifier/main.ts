/**
 * The notifier as a program. Standard output says `ready` once every source was tried; events go to standard error as
 * JSON lines. Exit status: 0 after SIGTERM or SIGINT, 1 if it could not start.
 */
import { readSettings } from '../shared/config/environment.ts';
import { loadConfig } from '../shared/config/load-config.ts';
import { resolveUrl } from '../shared/config/secrets.ts';
import { asBucardoError } from '../shared/errors/bucardo-error.ts';
import { createKickQueue } from '../shared/queue/kick-queue.ts';
import { requireQueueUrl } from '../shared/queue/require-queue-url.ts';
import { jsonLog } from '../shared/telemetry/log.ts';
import { startNotifier } from './start-notifier.ts';

/** Whatever happens to a stop, the process is gone before a container platform would kill it. */
const EXIT_WITHIN_MS = 4_500;

async function main(): Promise<void> {
  const { queueUrl, logLevel, health } = readSettings();
  const log = jsonLog((line) => process.stderr.write(line), logLevel);
  const { fleet } = await loadConfig({ cwd: process.cwd() });
  const queue = createKickQueue({ queueUrl: requireQueueUrl(queueUrl) });
  const notifier = await startNotifier({
    fleet,
    resolveUrl,
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

try {
  await main();
} catch (error) {
  process.stderr.write(`${asBucardoError(error).toText()}\n`);
  process.exitCode = 1;
}
