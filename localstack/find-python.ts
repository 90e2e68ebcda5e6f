/** Finds a Python that LocalStack 4.14 runs on: 3.13 and no other (3.11 cannot import its Lambda, newer ones lack its packages). */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Command or path. @throws with what to install */
export function findPython(): string {
  for (const candidates of [onPath, underPyenv, knownToUv]) {
    const found = candidates().find(isPython313);
    if (found !== undefined) return found;
  }
  throw new Error(
    'LocalStack without Docker needs Python 3.13. It is not on the PATH, and neither pyenv nor uv has one. ' +
      "Install it (`pyenv install 3.13`, `uv python install 3.13`, or your system's package), or start a Docker engine.",
  );
}

function onPath(): readonly string[] {
  return ['python3.13', 'python3'];
}

/** Its command on the PATH works only for the version that is switched on. */
function underPyenv(): readonly string[] {
  const versions = join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions');
  if (!existsSync(versions)) return [];
  return readdirSync(versions)
    .filter((name) => name.startsWith('3.13.'))
    .map((name) => join(versions, name, 'bin', 'python3.13'));
}

function knownToUv(): readonly string[] {
  const path = answerOf('uv', 'python', 'find', '--offline', '3.13');
  return path === undefined ? [] : [path];
}

function isPython313(command: string): boolean {
  return answerOf(command, '-c', 'import sys; print(sys.version_info[:2] == (3, 13))') === 'True';
}

/** Undefined if there is no such command or it fails. */
function answerOf(command: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}
