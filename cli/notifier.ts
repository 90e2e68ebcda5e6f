/** `bucardo notifier`: the notifier of a deployed fleet, wherever it reaches the sources. */
import process from 'node:process';
import type { Command } from 'commander';
import { runNotifier } from '../notifier/run.ts';
import { configOption } from './read-fleet.ts';

export function registerNotifier(program: Command): void {
  program
    .command('notifier')
    .description(
      'run the notifier of a deployed fleet here, in the foreground (BUCARDO_QUEUE_URL names the queue)',
    )
    .addHelpText(
      'after',
      '\nExample:\n  BUCARDO_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/…/kicks.fifo bucardo notifier',
    )
    .action(async (_options: object, command: Command) => {
      await runNotifier({ file: configOption(command), cwd: process.cwd() });
    });
}
