/**
 * LocalStack from Python packages, for machines without a Docker engine: an environment of its own in .cache, made once for a set of
 * pinned and hashed requirements. Two calls at once do no harm: what is finished is moved into place.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findPython } from './find-python.ts';

const CACHE = join(import.meta.dirname, '..', '.cache');
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
const UV_REQUIREMENTS = join(import.meta.dirname, 'requirements-uv.txt');
const EXECUTOR = join(import.meta.dirname, 'executor');
const EXECUTOR_MODULES = join(EXECUTOR, 'bucardo_localstack');

/** The environment's Python, installed if it is not there yet. @throws if there is no Python 3.13, or with what pip or uv said */
export function installLocalStack(): string {
  const place = join(CACHE, `localstack-${hashOfInputs()}`);
  const python = join(place, 'bin', 'python');
  if (existsSync(python)) return python;
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'localstack-draft-'));
  const draftPython = join(draft, 'bin', 'python');
  const pip = ['-m', 'pip', 'install'];
  // It trusts whom the machine trusts, as pip does.
  const uv = ['-m', 'uv', 'pip', 'install', '--system-certs', '--python', draftPython];
  try {
    run(findPython(), '-m', 'venv', draft);
    run(draftPython, ...pip, '--require-hashes', '--requirement', UV_REQUIREMENTS);
    try {
      run(draftPython, ...uv, '--require-hashes', '--requirement', REQUIREMENTS);
    } catch {
      // Ten times slower, but it has the settings of this machine's pip: an index of one's own, a proxy.
      run(draftPython, ...pip, '--require-hashes', '--requirement', REQUIREMENTS);
    }
    // With the build tool that the requirements list, so that nothing unpinned is fetched.
    run(draftPython, ...pip, '--no-build-isolation', '--no-deps', EXECUTOR);
    // Nothing is run by its scripts, whose first lines name the draft; so it can be moved.
    renameSync(draft, place);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Somebody else's may have been finished first.
    if (!existsSync(python)) throw error;
  }
  return python;
}

/** Of everything that goes into the environment. */
function hashOfInputs(): string {
  const modules = readdirSync(EXECUTOR_MODULES).filter((name) => /\.(py|mjs)$/.test(name));
  const files = [
    REQUIREMENTS,
    UV_REQUIREMENTS,
    join(EXECUTOR, 'pyproject.toml'),
    ...modules.map((name) => join(EXECUTOR_MODULES, name)),
  ];
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(file)).update('\0');
  return hash.digest('hex').slice(0, 12);
}

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
