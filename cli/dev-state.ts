/** How commands find a running `bucardo dev`: a small file beside the configuration, valid as long as its process lives. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface DevState {
  readonly pid: number;
  readonly endpoint: string;
  readonly region: string;
  readonly queueUrl: string;
}

/** Announces the running process. @param configFile the configuration it runs */
export function writeDevState(configFile: string, state: DevState): void {
  const file = stateFile(configFile);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(state, null, 2)}\n`);
}

/** Takes the announcement back, if it is this process's own. */
export function removeDevState(configFile: string): void {
  if (readDevState(configFile)?.pid === process.pid) rmSync(stateFile(configFile), { force: true });
}

/** Undefined if nothing runs for this configuration. */
export function readDevState(configFile: string): DevState | undefined {
  let state: DevState;
  try {
    state = JSON.parse(readFileSync(stateFile(configFile), 'utf8')) as DevState;
  } catch {
    return undefined;
  }
  return isAlive(state.pid) ? state : undefined;
}

function stateFile(configFile: string): string {
  return join(dirname(configFile), '.bucardo', 'dev.json');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, but belongs to somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
