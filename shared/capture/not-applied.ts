/** What it means for a reader of the control tables that they are not there. */
import { BucardoError, type Concern } from '../errors/bucardo-error.ts';

/** 42P01, 3F000, 42703: the control tables, their schema or a column of a newer version are missing. */
const NOT_THERE = new Set(['42P01', '3F000', '42703']);

/** Any other error stays as it is. */
export function asNotApplied(error: unknown, concern: Concern): unknown {
  const missing = error instanceof BucardoError && NOT_THERE.has(error.sqlstate ?? '');
  return missing ? new BucardoError('BUC-NOT-APPLIED', { ...concern, cause: error }) : error;
}
