/** The `bucardo` command. Exit status: 0 done, 1 failed, 2 wrong use. */
import process from 'node:process';
import { run } from './program.ts';

process.exitCode = await run(process.argv.slice(2));
