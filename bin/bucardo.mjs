#!/usr/bin/env node
/**
 * The `bucardo` command of a checkout, whose sources Node runs as they are, and of the installed package, which is compiled. Plain
 * JavaScript, so that an older Node can say what is wrong.
 */
import { existsSync } from 'node:fs';
import process from 'node:process';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  const source = new URL('../cli/main.ts', import.meta.url);
  await import(existsSync(source) ? source : new URL('../dist/cli/main.js', import.meta.url));
} else {
  process.stderr.write(
    `bucardo needs Node 22.18 or newer; this is ${process.version}.\n  What to do: install a newer Node from https://nodejs.org and run the command again.\n`,
  );
  process.exitCode = 1;
}
