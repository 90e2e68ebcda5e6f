/** `bucardo kick`: asks a sync's lanes to run now, and waits for them if wanted. */
import process from 'node:process';
import type { Command } from 'commander';
import { findSync, pickLanes } from '../shared/config/lanes.ts';
import type { Lane } from '../shared/config/types.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { kickAndWait, type LaneOutcome } from '../shared/status/kick-and-wait.ts';
import type { KickAnswer } from '../lambdas/kick/create-handler.ts';
import { invoke } from './aws/invoke.ts';
import { deployedFleet } from './aws/options.ts';
import { openQueue } from './open-queue.ts';
import { parseSeconds } from './parse-seconds.ts';
import { readFleet } from './read-fleet.ts';

interface KickOptions {
  readonly to?: string;
  readonly wait?: true;
  readonly timeout: number;
  readonly json?: true;
}

export function registerKick(program: Command): void {
  program
    .command('kick')
    .description('ask the lanes of a sync to run now')
    .argument('<sync>', 'name of the sync')
    .option('--to <target>', 'only the lane to this target')
    .option('--wait', 'wait until everything that is committed now has arrived')
    .option('--timeout <seconds>', 'how long to wait', parseSeconds, 300)
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', '\nExample:\n  bucardo kick orders --wait --timeout 60')
    .action(async (sync: string, options: KickOptions, command: Command) => {
      const deployed = await deployedFleet(command);
      if (deployed !== undefined) {
        const { kicks, outcomes = [] } = (await invoke(deployed, 'KickFunction', {
          sync,
          to: options.to,
          wait: options.wait,
          timeoutSeconds: options.timeout,
        })) as KickAnswer;
        throwUndone(outcomes);
        report(
          kicks.map(({ lane }) => ({ id: lane })),
          options,
        );
        return;
      }
      const { fleet, file } = await readFleet(command);
      const lanes = pickLanes(fleet, sync, options.to);
      const queue = openQueue(file);
      try {
        const send = () => queue.send(lanes.map(({ id }) => ({ lane: id, reason: 'manual' as const })));
        if (options.wait !== true) await send();
        else {
          const outcomes = await withFleetDatabase(fleet, 'command')(findSync(fleet, sync).source, (source) =>
            kickAndWait(source, lanes, send, options.timeout),
          );
          throwUndone(outcomes);
        }
      } finally {
        queue.close();
      }
      report(lanes, options);
    });
}

/** Every lane that failed, in one error. @throws BUC-LANE-NOT-DONE */
function throwUndone(outcomes: readonly LaneOutcome[]): void {
  const failures = outcomes.flatMap(({ lane, error }) =>
    error === undefined ? [] : [`${lane}: ${error.message}`],
  );
  if (failures.length > 0) throw new BucardoError('BUC-LANE-NOT-DONE', { detail: failures.join('; ') });
}

function report(lanes: readonly Pick<Lane, 'id'>[], { wait, json }: KickOptions): void {
  const done = wait === true ? 'done' : 'kicked';
  const text =
    json === true
      ? JSON.stringify(lanes.map(({ id }) => ({ lane: id, outcome: done })))
      : lanes.map(({ id }) => `${id} ${done}`).join('\n');
  process.stdout.write(`${text}\n`);
}
