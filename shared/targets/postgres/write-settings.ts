/**
 * What is set for a transaction that writes users' tables. Nothing of it outlives the transaction: behind a pooler the session may be
 * an application's next, whose foreign keys would be silent and whose writes would not be captured. Pure.
 */
import { setLocal } from '../../postgres/session-settings.ts';

/** How far foreign keys and triggers are silent for what we write. */
export type Silence = 'replica role' | 'replica role by default' | 'none';

/** Hashing and sorting a batch within memory; a few sessions at a time do so. */
const BATCH_WORK_MEM = '64MB';

/**
 * How long a statement waits for a row or a table that another session has. The source's snapshot is open meanwhile, and what the
 * batch has written already is locked; then the relation is held with an error that says so, and the others go on.
 */
const LOCK_WAIT = '10s';

/**
 * What users' own code reads: triggers, checks, generated columns, defaults, rules. It sees the role's (the database's, the server's)
 * setting, as it would in any other session. None of these matters to our statements: their names are qualified, and
 * Postgres reads the values' text forms under each of them alike.
 */
const OF_THE_ROLE: readonly string[] = [
  'search_path',
  'datestyle',
  'intervalstyle',
  'timezone',
  'bytea_output',
  'extra_float_digits',
];

export function writeSettings(silence: Silence): string {
  return [
    ...OF_THE_ROLE.map((name) => `set local ${name} to default`),
    setLocal('work_mem', BATCH_WORK_MEM),
    setLocal('lock_timeout', LOCK_WAIT),
    // What we write is not captured again.
    setLocal('bucardo.applying', 'on'),
    ...(silence === 'replica role' ? [setLocal('session_replication_role', 'replica')] : []),
  ].join('; ');
}
