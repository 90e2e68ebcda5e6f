/** `bucardo init`: writes a commented configuration, and never over one that is there unless it is told to. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative, resolve } from 'node:path';
import process from 'node:process';
import type { Command } from 'commander';
import { CONFIG_FILES } from '../shared/config/load-config.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { CONFIG_TEMPLATE } from './init-template.ts';
import { configOption } from './read-fleet.ts';

export function registerInit(program: Command): void {
  program
    .command('init')
    .description('write a commented bucardo.config.ts into this folder')
    .option('--force', 'overwrite a file that is there')
    .addHelpText('after', '\nExample:\n  bucardo init && bucardo config')
    .action(async (options: { readonly force?: true }, command: Command) => {
      const cwd = process.cwd();
      const named = configOption(command);
      const file = named === undefined ? join(cwd, CONFIG_FILES[0]) : resolve(cwd, named);
      if (named === undefined && options.force !== true) refuseSecondConfig(cwd);
      await writeNew(file, options.force === true);
      process.stdout.write(`${nextSteps(file, cwd)}\n`);
    });
}

/** Two configurations in one folder: only one would be read. */
function refuseSecondConfig(cwd: string): void {
  const found = CONFIG_FILES.map((name) => join(cwd, name)).find((path) => existsSync(path));
  if (found !== undefined) throw exists(found);
}

async function writeNew(file: string, force: boolean): Promise<void> {
  try {
    // `wx` fails if somebody was faster, also between the check above and now.
    await writeFile(file, CONFIG_TEMPLATE, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    if (code === 'EEXIST') throw exists(file);
    throw new BucardoError('BUC-FILE-NOT-WRITTEN', { detail: `${file} (${code})`, cause: error });
  }
}

function exists(file: string): BucardoError {
  return new BucardoError('BUC-FILE-NOT-WRITTEN', {
    detail: `${file} exists`,
    remedy: 'Edit that file, or overwrite it with `bucardo init --force`.',
  });
}

function nextSteps(file: string, cwd: string): string {
  const install = isInstalled(dirname(file))
    ? []
    : [
        'npm install bucardo-serverless',
        '     so that your editor knows the types and every command its version',
        '',
      ];
  return [
    `Wrote ${relative(cwd, file) || file}.`,
    '',
    'Next:',
    ...[
      ...install,
      'edit the file: databases and tables',
      'export SOURCE_URL=postgres://… TARGET_URL=postgres://…',
      'npx bucardo config   tells what is wrong in the file',
      'npx bucardo check    tells what is missing in the databases',
      'npx bucardo apply    prepares the source',
      'npx bucardo dev      replicates, on this machine',
    ].map((line) => (line === '' ? line : `  ${line}`)),
    ...(extname(file) === '' ? ['', 'The file should end in .ts, so that Node reads its types.'] : []),
  ].join('\n');
}

/** Whether an import of the package from that folder finds it. */
function isInstalled(folder: string): boolean {
  try {
    createRequire(join(folder, 'any.js')).resolve('bucardo-serverless');
    return true;
  } catch {
    return false;
  }
}
