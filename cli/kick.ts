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
        report(
          kicks.map(({ lane }) => ({ id: lane })),
          outcomes,
          options,
        );
        return;
      }
      const { fleet, file } = await readFleet(command);
      const lanes = pickLanes(fleet, sync, options.to);
      const queue = openQueue(file);
      try {
        const send = () => queue.send(lanes.map(({ id }) => ({ lane: id, reason: 'manual' as const })));
        const found = findSync(fleet, sync);
        const outcomes =
          options.wait === true
            ? await withFleetDatabase(fleet, 'command')(found.source, (source) =>
                kickAndWait(source, { sync: found, lanes, send, timeoutSeconds: options.timeout }),
              )
            : [];
        if (options.wait !== true) await send();
        report(lanes, outcomes, options);
      } finally {
        queue.close();
      }
    });
}

/**
 * Says how each lane came out; then every lane that failed is in one error, and in the exit status.
 * @throws BUC-LANE-NOT-DONE
 */
function report(
  lanes: readonly Pick<Lane, 'id'>[],
  outcomes: readonly LaneOutcome[],
  { wait, json }: KickOptions,
): void {
  const rows = lanes.map(({ id }) => {
    const outcome = outcomes.find(({ lane }) => lane === id);
    const word = wait !== true ? 'kicked' : outcome?.done === true ? 'done' : 'not done';
    return { lane: id, outcome: word, error: outcome?.error?.message, notes: outcome?.notes };
  });
  const text =
    json === true
      ? JSON.stringify(rows)
      : rows
          .flatMap(({ lane, outcome, notes = [] }) => [
            `${lane} ${outcome}`,
            ...notes.map((line) => `  ${line}`),
          ])
          .join('\n');
  process.stdout.write(`${text}\n`);
  const failures = rows.flatMap(({ lane, error }) => (error === undefined ? [] : [`${lane}: ${error}`]));
  if (failures.length > 0) throw new BucardoError('BUC-LANE-NOT-DONE', { detail: failures.join('; ') });
}
