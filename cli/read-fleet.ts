/** The configuration that a command works on: the file of `--config`, or the one in the current folder. */
import process from 'node:process';
import type { Command } from 'commander';
import { type LoadedConfig, loadConfig } from '../shared/config/load-config.ts';

/** @throws BUC-CONFIG-NOT-FOUND, BUC-CONFIG-UNREADABLE, BUC-CONFIG-INVALID */
export async function readFleet(command: Command): Promise<LoadedConfig> {
  return await loadConfig({ file: configOption(command), cwd: process.cwd() });
}

/** The global option `--config`, wherever it stood on the command line. */
export function configOption(command: Command): string | undefined {
  const { config } = command.optsWithGlobals<{ readonly config?: string }>();
  return config;
}
