/**
 * How far an error of Postgres reaches: one row (it is looked for and parked), one relation (it waits, the others go
 * on), or the whole lane (it is tried again later). Decided by SQLSTATE, Postgres manual, appendix "Error Codes".
 */
import type { BucardoError } from '../errors/bucardo-error.ts';

export type ErrorScope = 'row' | 'relation' | 'lane';

const BY_SQLSTATE: Readonly<Record<string, ErrorScope>> = {
  '0A': 'relation', // a feature that this table does not support
  '42': 'relation', // undefined or forbidden
  '428C9': 'relation', // writes to a generated column
  '54011': 'relation', // too many columns
  '54023': 'relation', // too many arguments
  '55000': 'relation', // the object is not in a state that allows it
  '55P03': 'relation', // another session holds the table, or a row of it, for longer than is waited
  HV: 'relation', // a foreign table
};

/** Classes that speak of the session, the transaction or the server. */
const OF_THE_LANE = new Set(
  '00 01 02 03 08 0B 0F 0L 0P 0Z 24 25 26 28 2B 2D 34 3B 3D 3F 40 53 55 57 58 72 F0'.split(' '),
);

/**
 * What is left is data (21, 22, 23, 44), a limit that a row exceeds (54), what Postgres did not foresee or a value that is damaged
 * (XX), or a trigger's doing: P0, 09, 27, 38, 39, or a code that the trigger's author made up. It stops its own row, not
 * the lane: whether it is one row is found out by trying the others without it.
 */
export function scopeOf({ code, sqlstate }: BucardoError): ErrorScope {
  if (code === 'BUC-TOO-MANY-REFUSED' || code === 'BUC-COPY-ACTS') return 'relation';
  // Node's own errors look like SQLSTATEs: EPERM.
  if (sqlstate === undefined || /^E[A-Z]+$/.test(sqlstate)) return 'lane';
  const known = BY_SQLSTATE[sqlstate] ?? BY_SQLSTATE[sqlstate.slice(0, 2)];
  return known ?? (OF_THE_LANE.has(sqlstate.slice(0, 2)) ? 'lane' : 'row');
}
