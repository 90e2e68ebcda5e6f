/** What `localstack:up` and `localstack:deploy` have started, for the other commands: a small file in .bucardo. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type KnownProcess, runs } from './known-process.ts';

export interface KnownDatabase extends KnownProcess {
  /** Its temporary folder. */
  readonly folder: string;
}

export interface LocalState {
  /** Keeps LocalStack and the databases, and ends them when it is ended. */
  readonly keeper: KnownProcess;
  readonly localStack: KnownProcess;
  readonly databases: readonly KnownDatabase[];
  /** Once the fleet is deployed. */
  readonly notifier?: KnownProcess;
  readonly endpoint: string;
  readonly sourceUrl: string;
  readonly targetUrl: string;
}

/** For logs, and for what LocalStack and the CDK write. */
export const STATE_FOLDER = join(import.meta.dirname, '..', '.cache', 'localstack-state');

const FILE = join(import.meta.dirname, '..', '.bucardo', 'localstack.json');

export function writeState(state: LocalState): void {
  mkdirSync(dirname(FILE), { recursive: true });
  // Whoever waits for it must not read half of it.
  writeFileSync(`${FILE}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${FILE}.new`, FILE);
}

export function removeState(): void {
  rmSync(FILE, { force: true });
}

/** As it was written, whether or not anything of it still runs. Undefined if nothing was started, or all was ended. */
export function readState(): LocalState | undefined {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8')) as LocalState;
  } catch {
    return undefined;
  }
}

/** Undefined unless LocalStack and the databases are up. */
export function readRunning(): LocalState | undefined {
  const state = readState();
  return state !== undefined && runs(state.keeper) ? state : undefined;
}

/** @throws if nothing is up */
export function requireRunning(): LocalState {
  const state = readRunning();
  if (state !== undefined) return state;
  throw new Error('nothing is up; run `npm run localstack:up` first');
}
