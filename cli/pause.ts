/** `bucardo pause`, `bucardo resume` and `bucardo redrive`: keep lanes waiting, let them go on, try dead letters now. */
import process from 'node:process';
import type { Command } from 'commander';
import { type LanesAnswer, operate, type OperateRequest } from '../shared/status/operate.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { invoke } from './aws/invoke.ts';
import { deployedFleet } from './aws/options.ts';
import { openQueue } from './open-queue.ts';
import { readFleet } from './read-fleet.ts';

/** All but looking. */
type LanesRequest = Exclude<OperateRequest, { readonly command: 'status' }>;

interface LaneOptions {
  readonly to?: string;
  readonly json?: true;
}

export function registerPause(program: Command): void {
  program
    .command('pause')
    .description('keep the lanes of a sync waiting; changes stay in the delta tables')
    .argument('<sync>', 'name of the sync')
    .option('--to <target>', 'only the lane to this target')
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', '\nExample:\n  bucardo pause orders --to reports')
    .action(async (sync: string, options: LaneOptions, command: Command) => {
      await act({ command: 'pause', sync, to: options.to }, options, command, 'paused');
    });
}

export function registerResume(program: Command): void {
  program
    .command('resume')
    .description('let paused lanes go on, and kick them')
    .argument('<sync>', 'name of the sync')
    .option('--to <target>', 'only the lane to this target')
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', '\nExample:\n  bucardo resume orders')
    .action(async (sync: string, options: LaneOptions, command: Command) => {
      await act({ command: 'resume', sync, to: options.to }, options, command, 'resumed');
    });
}

export function registerRedrive(program: Command): void {
  program
    .command('redrive')
    .description('try lanes whose kick became a dead letter now, instead of at the next try')
    .argument('[sync]', 'name of the sync (default: all)')
    .option('--to <target>', 'only the lane to this target')
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', '\nExample:\n  bucardo redrive orders')
    .action(async (sync: string | undefined, options: LaneOptions, command: Command) => {
      await act({ command: 'redrive', sync, to: options.to }, options, command, 'kicked');
    });
}

async function act(
  request: LanesRequest,
  { json }: LaneOptions,
  command: Command,
  done: string,
): Promise<void> {
  const answer = await answerTo(request, command);
  const { lanes, unknown = [] } = answer;
  const lines = [
    ...(lanes.length === 0 && unknown.length === 0 ? ['no lane has a dead letter'] : []),
    ...lanes.map((lane) => `${lane} ${done}`),
    ...unknown.map(({ lane, problem }) => `${lane} unknown: ${problem}`),
  ];
  process.stdout.write(`${json === true ? JSON.stringify(answer) : lines.join('\n')}\n`);
  if (unknown.length > 0) process.exitCode = 1;
}

async function answerTo(request: LanesRequest, command: Command): Promise<LanesAnswer> {
  const deployed = await deployedFleet(command);
  if (deployed !== undefined) {
    return (await invoke(deployed, 'OperateFunction', request)) as LanesAnswer;
  }
  const { fleet, file } = await readFleet(command);
  const context = { fleet, withDatabase: withFleetDatabase(fleet, 'command') };
  // Pausing sends nothing, and so needs no queue.
  if (request.command === 'pause')
    return await operate(request, { ...context, queue: { send: async () => {} } });
  const queue = openQueue(file);
  try {
    return await operate(request, { ...context, queue });
  } finally {
    queue.close();
  }
}
