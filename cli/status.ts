/** `bucardo status`: every lane of the configuration, as its source sees it. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { lanesOf, sourcesOf } from '../shared/config/lanes.ts';
import type { Fleet } from '../shared/config/types.ts';
import { asBucardoError } from '../shared/errors/bucardo-error.ts';
import { type LaneStatus, readStatus } from '../shared/status/read-status.ts';
import { parseSeconds } from './parse-seconds.ts';
import { readFleet } from './read-fleet.ts';
import { statusText, type UnknownLane } from './status-text.ts';
import { withDatabase } from './with-database.ts';

interface StatusOptions {
  readonly json?: true;
  readonly watch?: true;
  readonly interval: number;
}

interface Status {
  readonly lanes: readonly LaneStatus[];
  readonly unknown: readonly UnknownLane[];
}

export function registerStatus(program: Command): void {
  program
    .command('status')
    .description('show every lane: what waits, how old it is, the last run, the last error')
    .option('--json', 'print it as JSON')
    .option('--watch', 'show it again and again, until interrupted')
    .option('--interval <seconds>', 'with --watch: how often', parseSeconds, 2)
    .addHelpText('after', '\nExample:\n  bucardo status --json | jq ".lanes[] | select(.lagSeconds > 60)"')
    .action(async (options: StatusOptions, command: Command) => {
      const { fleet } = await readFleet(command);
      do {
        const status = await readAll(fleet);
        print(status, options);
        if (options.watch !== true && status.unknown.length > 0) process.exitCode = 1;
        if (options.watch === true) await sleep(options.interval * 1000);
      } while (options.watch === true);
    });
}

/** A source that does not answer hides only its own lanes. */
async function readAll(fleet: Fleet): Promise<Status> {
  const lanes: LaneStatus[] = [];
  const unknown: UnknownLane[] = [];
  await Promise.all(
    sourcesOf(fleet).map(async (source) => {
      const ours = lanesOf(fleet).filter((lane) => lane.source === source);
      const syncs = [...new Set(ours.map(({ sync }) => sync))];
      try {
        const known = await withDatabase(fleet, source, (db) => readStatus(db, syncs));
        lanes.push(...known);
        const names = new Set(known.map(({ lane }) => lane));
        const missing = ours.filter(({ id }) => !names.has(id));
        unknown.push(
          ...missing.map(({ id }) => ({ lane: id, problem: 'not prepared at the source: bucardo apply' })),
        );
      } catch (error) {
        const { message, remedy } = asBucardoError(error);
        unknown.push(...ours.map(({ id }) => ({ lane: id, problem: `${message}. ${remedy}` })));
      }
    }),
  );
  const order = lanesOf(fleet).map(({ id }) => id);
  return { lanes: lanes.toSorted((a, b) => order.indexOf(a.lane) - order.indexOf(b.lane)), unknown };
}

function print({ lanes, unknown }: Status, { json, watch }: StatusOptions): void {
  if (json === true) {
    process.stdout.write(`${JSON.stringify({ lanes, unknown }, null, watch === true ? 0 : 2)}\n`);
    return;
  }
  // Home, and clear what is below: the table is redrawn in place.
  if (watch === true && process.stdout.isTTY) process.stdout.write('\u001B[H\u001B[J');
  process.stdout.write(`${statusText(lanes, unknown)}\n`);
}
