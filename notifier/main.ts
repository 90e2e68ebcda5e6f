/**
 * The notifier as a program. Standard output says `ready` once every source was tried; events go to standard error as
 * JSON lines. Exit status: 0 after SIGTERM or SIGINT, 1 if it could not start.
 */
import { asBucardoError } from '../shared/errors/bucardo-error.ts';
import { runNotifier } from './run.ts';

try {
  await runNotifier({ cwd: process.cwd() });
} catch (error) {
  process.stderr.write(`${asBucardoError(error).toText()}\n`);
  process.exitCode = 1;
}
