#!/usr/bin/env node
/**
 * The `bucardo` command. Checks the Node version before anything is loaded that an older one cannot read.
 * Exit status: 0 done, 1 failed, 2 wrong use.
 */
import process from 'node:process';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  const { run } = await import('./program.ts');
  process.exitCode = await run(process.argv.slice(2));
} else {
  process.stderr.write(
    `bucardo needs Node 22.18 or newer; this is ${process.version}.\n  What to do: install a newer Node from https://nodejs.org and run the command again.\n`,
  );
  process.exitCode = 1;
}
