/** `bucardo logs`: what the functions of a deployed fleet logged about a sync, in order. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CloudWatchLogsClient,
  FilterLogEventsCommand,
  type FilteredLogEvent,
} from '@aws-sdk/client-cloudwatch-logs';
import { type Command, InvalidArgumentError } from 'commander';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import type { DeployedFleet } from './aws/find-fleet.ts';
import { deployedFleet } from './aws/options.ts';
import { logLine } from './log-line.ts';

interface LogsOptions {
  readonly since: number;
  readonly follow?: true;
  readonly errors?: true;
  readonly json?: true;
}

const GROUPS = ['ReplicateLogs', 'SweepLogs', 'KickLogs', 'DeadLetterLogs', 'OperateLogs'] as const;

/** CloudWatch allows ten such requests a second in an account. */
const FOLLOW_EVERY_MS = 3_000;

/** Lines may arrive late and out of order; while following this much is looked at again. */
const OVERLAP_MS = 10_000;

export function registerLogs(program: Command): void {
  program
    .command('logs')
    .description('show what the deployed functions logged about a sync (with --aws)')
    .argument('<sync>', 'name of the sync')
    .option('--since <duration>', 'how far back, such as 30m, 2h or 1d', parseDuration, 600_000)
    .option('--follow', 'go on until interrupted')
    .option('--errors', 'only warnings and errors')
    .option('--json', 'print the lines as they are')
    .addHelpText('after', '\nExample:\n  bucardo logs orders --aws --since 1h --errors')
    .action(async (sync: string, options: LogsOptions, command: Command) => {
      const deployed = await deployedFleet(command);
      if (deployed === undefined) {
        throw new BucardoError('BUC-FLEET-NOT-FOUND', {
          detail: 'logs are kept for a deployed fleet only',
          remedy: 'Add --aws; `bucardo dev` prints its events itself.',
        });
      }
      await show(deployed, sync, options);
    });
}

async function show(deployed: DeployedFleet, sync: string, options: LogsOptions): Promise<void> {
  const { profile, region, outputs } = deployed;
  const client = new CloudWatchLogsClient({
    ...(profile === undefined ? {} : { profile }),
    ...(region === undefined ? {} : { region }),
  });
  /** What the look before has found: a later one begins within its time. */
  let seen = new Set<string>();
  let fromMs = Date.now() - options.since;
  try {
    do {
      const beganMs = Date.now();
      const found = await Promise.all(GROUPS.map((group) => readGroup(client, outputs[group], sync, fromMs)));
      const events = found.flat();
      const news = events
        .filter(({ eventId = '' }) => !seen.has(eventId))
        .toSorted((a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0));
      seen = new Set(events.map(({ eventId = '' }) => eventId));
      for (const { message = '' } of news) {
        const line = logLine(message.trim(), { ...options, sync });
        if (line !== undefined) process.stdout.write(`${line}\n`);
      }
      fromMs = beganMs - OVERLAP_MS;
      if (options.follow === true) await sleep(FOLLOW_EVERY_MS);
    } while (options.follow === true);
  } finally {
    client.destroy();
  }
}

async function readGroup(
  client: CloudWatchLogsClient,
  logGroupName: string,
  sync: string,
  startTime: number,
): Promise<readonly FilteredLogEvent[]> {
  const all: FilteredLogEvent[] = [];
  let nextToken: string | undefined;
  do {
    const page = await client
      .send(
        new FilterLogEventsCommand({
          logGroupName,
          startTime,
          // Every event of a lane has its sync; a sync's name has no character that would need escaping.
          filterPattern: `{ $.sync = "${sync}" }`,
          ...(nextToken === undefined ? {} : { nextToken }),
        }),
      )
      .catch((cause: unknown) => {
        // A function that has never run has no log yet.
        if (cause instanceof Error && cause.name === 'ResourceNotFoundException')
          return { events: [], nextToken: undefined };
        throw new BucardoError('BUC-FUNCTION-FAILED', {
          detail: `CloudWatch Logs answered ${cause instanceof Error ? cause.name : 'unknown'} for ${logGroupName}`,
          cause,
        });
      });
    all.push(...(page.events ?? []));
    nextToken = page.nextToken;
  } while (nextToken !== undefined);
  return all;
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns milliseconds */
function parseDuration(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,5})([smhd])$/.exec(text) ?? [];
  const unitMs = UNITS[unit];
  if (digits === undefined || unitMs === undefined) throw new InvalidArgumentError('write 30m, 2h or 1d.');
  return Number(digits) * unitMs;
}
