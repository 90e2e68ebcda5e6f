/**
 * Postgres as Debian packages it (`postgresql-15` on Debian 12): for the programs that the npm packages leave out,
 * `pgbench` and `pg_resetwal`. The gate installs it; elsewhere its absence is one loud line.
 */
import { globSync } from 'node:fs';
import { dirname } from 'node:path';

const newest = globSync('/usr/lib/postgresql/*/bin/pgbench').map(dirname).sort().at(-1);

/** True if a test that needs these programs is to be skipped: never in CI, where it fails instead. */
export function skipWithoutDebianPostgres(what: string): boolean {
  if (newest !== undefined) return false;
  console.warn(`SKIPPED: ${what}; needs Debian's Postgres (apt-get install postgresql)`);
  return process.env['CI'] !== 'true';
}

/** The newest version installed and the folder of its programs. Throws a plain Error with the remedy if there is none. */
export function debianPostgres(): { readonly major: number; readonly bin: string } {
  if (newest === undefined) throw new Error(`Debian's Postgres is missing: apt-get install postgresql`);
  return { major: Number(newest.split('/').at(-2)), bin: newest };
}
