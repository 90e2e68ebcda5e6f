/** `bucardo status`: every lane of the configuration, as its source sees it. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type FleetStatus, readFleetStatus } from '../shared/status/read-fleet-status.ts';
import { laneState } from '../shared/status/verdict.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { invoke } from './aws/invoke.ts';
import { deployedFleet } from './aws/options.ts';
import { parseSeconds } from './parse-seconds.ts';
import { readFleet } from './read-fleet.ts';
import { statusText } from './status-text.ts';

interface StatusOptions {
  readonly json?: true;
  readonly watch?: true;
  readonly interval: number;
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
      const read = await statusReader(command);
      do {
        const status = await read();
        print(status, options);
        if (options.watch !== true && status.unknown.length > 0) process.exitCode = 1;
        if (options.watch === true) await sleep(options.interval * 1000);
      } while (options.watch === true);
    });
}

/** How the status is read again and again: from the databases, or by the deployed fleet's own function. */
async function statusReader(command: Command): Promise<() => Promise<FleetStatus>> {
  const deployed = await deployedFleet(command);
  if (deployed !== undefined) {
    return async () => (await invoke(deployed, 'OperateFunction', { command: 'status' })) as FleetStatus;
  }
  const { fleet } = await readFleet(command);
  return () => readFleetStatus(fleet, withFleetDatabase(fleet, 'command'));
}

function print({ lanes, unknown }: FleetStatus, { json, watch }: StatusOptions): void {
  if (json === true) {
    const judged = lanes.map((lane) => ({ ...lane, state: laneState(lane) }));
    process.stdout.write(`${JSON.stringify({ lanes: judged, unknown }, null, watch === true ? 0 : 2)}\n`);
    return;
  }
  // Home, and clear what is below: the table is redrawn in place.
  if (watch === true && process.stdout.isTTY) process.stdout.write('\u001B[H\u001B[J');
  process.stdout.write(`${statusText(lanes, unknown)}\n`);
}
