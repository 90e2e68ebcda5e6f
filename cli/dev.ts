/**
 * `bucardo dev`: the notifier and the functions of this configuration on this machine, in the foreground. Standard output
 * says `ready` once it listens; events go to standard error. SIGTERM and SIGINT end it cleanly.
 */
import process from 'node:process';
import { type Command, InvalidArgumentError } from 'commander';
import { readSettings } from '../shared/config/environment.ts';
import { freshUrl } from '../shared/config/secrets.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { jsonLog } from '../shared/telemetry/log.ts';
import { readDevState, removeDevState, writeDevState } from './dev-state.ts';
import { startLocalFleet } from './local-fleet.ts';
import { readFleet } from './read-fleet.ts';

interface DevOptions {
  readonly queuePort?: number;
  readonly healthPort?: number;
}

export function registerDev(program: Command): void {
  program
    .command('dev')
    .description('replicate on this machine, in the foreground, until it is interrupted')
    .option('--queue-port <port>', 'port of the local queue (default: any free one)', parsePort)
    .option('--health-port <port>', 'serve GET /health on this port of the loopback address', parsePort)
    .addHelpText('after', '\nExample:\n  bucardo apply && bucardo dev 2> events.jsonl')
    .action(async (options: DevOptions, command: Command) => {
      await runDev(options, command);
    });
}

async function runDev(options: DevOptions, command: Command): Promise<void> {
  const { fleet, file } = await readFleet(command);
  const running = readDevState(file);
  if (running !== undefined) {
    throw new BucardoError('BUC-DEV-RUNNING', { detail: `process ${running.pid} runs this configuration` });
  }
  const log = jsonLog((line) => process.stderr.write(line), readSettings().logLevel);
  const local = await startLocalFleet({
    fleet,
    resolveUrl: freshUrl,
    log,
    ...(options.queuePort === undefined ? {} : { queuePort: options.queuePort }),
    health: options.healthPort === undefined ? undefined : { port: options.healthPort },
  });
  const { sqs } = local;
  writeDevState(file, {
    pid: process.pid,
    endpoint: sqs.endpoint,
    region: sqs.region,
    queueUrl: sqs.kicks.url,
  });
  const stopped = untilInterrupted();
  await local.notifier.ready;
  process.stdout.write('ready\n');
  await stopped;
  removeDevState(file);
  await local.stop();
}

/** A second signal ends the process at once. */
function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
    }
  });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('not a port number.');
  return port;
}
