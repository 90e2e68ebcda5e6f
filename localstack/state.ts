/** What `localstack:up` has started, for the other commands: a small file, valid as long as its process lives. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface LocalState {
  /** Of the process that keeps LocalStack and the databases; they end with it. */
  readonly pid: number;
  readonly endpoint: string;
  readonly sourceUrl: string;
  readonly targetUrl: string;
  /** Of the notifier, once the fleet is deployed. */
  readonly notifierPid?: number;
}

const FILE = join(import.meta.dirname, '..', '.bucardo', 'localstack.json');

export function writeState(state: LocalState): void {
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, `${JSON.stringify(state, null, 2)}\n`);
}

export function removeState(): void {
  rmSync(FILE, { force: true });
}

/** Undefined if nothing is up. */
export function readState(): LocalState | undefined {
  let state: LocalState;
  try {
    state = JSON.parse(readFileSync(FILE, 'utf8')) as LocalState;
  } catch {
    return undefined;
  }
  return runs(state.pid, 'keep.ts') ? state : undefined;
}

/** @throws if nothing is up */
export function requireState(): LocalState {
  const state = readState();
  if (state !== undefined) return state;
  throw new Error('nothing is up; run `npm run localstack:up` first');
}

/** Whether the process still is what it was: a pid may have become another program's. */
export function runs(pid: number, program: string): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program);
  } catch {
    // No such file system: macOS.
    return true;
  }
}
