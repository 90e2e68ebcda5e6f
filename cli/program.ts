/**
 * All commands in one program, and what is the same for all of them: global options, how errors are shown, exit statuses.
 * A command is one file that exports one function, which adds it to the program; the list below is the order in `--help`.
 */
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import process from 'node:process';
import { Command, CommanderError } from 'commander';
import { asBucardoError } from '../shared/errors/bucardo-error.ts';
import { errorFields } from '../shared/telemetry/log.ts';
import { addAwsOptions } from './aws/options.ts';
import { registerCheck } from './check.ts';
import { registerConfig } from './config.ts';
import { registerCopy } from './copy.ts';
import { registerCost } from './cost.ts';
import { registerDev } from './dev.ts';
import { registerInit } from './init.ts';
import { registerKick } from './kick.ts';
import { registerLogs } from './logs.ts';
import { registerNotifier } from './notifier.ts';
import { registerPause, registerRedrive, registerResume } from './pause.ts';
import { registerApply, registerPlan } from './plan.ts';
import { registerRejected } from './rejected.ts';
import { registerStatus } from './status.ts';
import { registerUninstall } from './uninstall.ts';

const commands: readonly ((program: Command) => void)[] = [
  registerInit,
  registerConfig,
  registerCheck,
  registerPlan,
  registerApply,
  registerDev,
  registerNotifier,
  registerStatus,
  registerKick,
  registerCopy,
  registerPause,
  registerResume,
  registerRedrive,
  registerLogs,
  registerRejected,
  registerCost,
  registerUninstall,
];

export type ExitStatus = 0 | 1 | 2;

/** Runs one command line, without the program's own name. Never throws; output goes to the standard streams. */
export async function run(args: readonly string[]): Promise<ExitStatus> {
  // `bucardo … | head` closes the pipe early; that is no error of the command's.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await createProgram().parseAsync([...args], { from: 'user' });
    // A command whose output already says what is wrong only sets the status.
    return process.exitCode === 1 ? 1 : 0;
  } catch (error) {
    if (error instanceof CommanderError) return statusOf(error);
    process.stderr.write(`${errorText(error)}\n`);
    return 1;
  }
}

/** All commands, as `run` understands them. */
export function createProgram(): Command {
  const program = new Command('bucardo')
    .description(
      'Replicates Postgres tables: triggers capture changes, a queue and stateless functions deliver them.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .option('-c, --config <file>', 'the configuration file (default: bucardo.config.ts in this folder)')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .showHelpAfterError('Run it with --help to see what it takes.')
    .addHelpText('after', '\nExit status: 0 done, 1 failed, 2 wrong use.')
    .exitOverride();
  addAwsOptions(program);
  for (const register of commands) register(program);
  return program;
}

/** Commander has printed its message already. Help that was asked for is no mistake. */
function statusOf({ exitCode }: CommanderError): ExitStatus {
  return exitCode === 0 ? 0 : 2;
}

/** No stack trace, but for an error that nobody foresaw the places in the program, which a report needs. */
function errorText(error: unknown): string {
  const known = asBucardoError(error);
  const { stack } = errorFields(known);
  return stack === undefined ? known.toText() : `${known.toText()}\n  Where: ${stack}`;
}

function packageVersion(): string {
  const path = findPackageJSON(import.meta.url);
  if (path === undefined) return 'unknown';
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
  return version;
}
