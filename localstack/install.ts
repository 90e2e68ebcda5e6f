/**
 * LocalStack from Python packages, for machines without a Docker engine: an environment of its own in .cache, made once for a set of
 * pinned and hashed requirements. Two calls at once do no harm: what is finished is moved into place.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
const EXECUTOR = join(import.meta.dirname, 'executor');

/** Installs ten times as fast as pip, which matters for 374 MB. */
const UV = 'uv==0.13.9';

/** The environment's Python, installed if it is not there yet. @throws if there is no Python 3.13 */
export function installLocalStack(): string {
  const place = join(ROOT, '.cache', `localstack-${hashOfInputs()}`);
  const python = join(place, 'bin', 'python');
  if (existsSync(python)) return python;
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  const draft = mkdtempSync(join(ROOT, '.cache', 'localstack-draft-'));
  try {
    run(findPython(), '-m', 'venv', draft);
    const draftPython = join(draft, 'bin', 'python');
    run(draftPython, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', UV, 'setuptools');
    run(
      draftPython,
      '-m',
      'uv',
      'pip',
      'install',
      '--quiet',
      '--python',
      draftPython,
      '--require-hashes',
      '-r',
      REQUIREMENTS,
    );
    run(
      draftPython,
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-build-isolation',
      '--no-deps',
      EXECUTOR,
    );
    // Nothing is run by its scripts, whose first lines name the draft; so it can be moved.
    renameSync(draft, place);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(python)) throw error;
  }
  return python;
}

function hashOfInputs(): string {
  const hash = createHash('sha256').update(UV).update(readFileSync(REQUIREMENTS));
  const folder = join(EXECUTOR, 'bucardo_localstack');
  for (const name of readdirSync(folder).filter((file) => /\.(py|mjs)$/.test(file)))
    hash.update(readFileSync(join(folder, name)));
  return hash.digest('hex').slice(0, 12);
}

/** LocalStack 4.14 runs on Python 3.13 only. */
function findPython(): string {
  const versions = join(homedir(), '.pyenv', 'versions');
  const pyenv = existsSync(versions)
    ? readdirSync(versions)
        .filter((name) => name.startsWith('3.13.'))
        .map((name) => join(versions, name, 'bin', 'python3.13'))
    : [];
  const found = ['python3.13', ...pyenv, 'python3'].find(isPython313);
  if (found !== undefined) return found;
  throw new Error(
    'LocalStack without Docker needs Python 3.13, which is not on the PATH or under ~/.pyenv/versions. Install it (for example `pyenv install 3.13`), or start a Docker engine.',
  );
}

function isPython313(command: string): boolean {
  try {
    return run(command, '-c', 'import sys; print(sys.version_info[:2] == (3, 13))').trim() === 'True';
  } catch {
    return false;
  }
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
