/** What it means for a reader of the control tables that they are not there. */
import { BucardoError, type Concern } from '../errors/bucardo-error.ts';

/** 42P01, 3F000: the control tables or their schema are missing. Any other error stays as it is. */
export function asNotApplied(error: unknown, concern: Concern): unknown {
  const missing = error instanceof BucardoError && (error.sqlstate === '42P01' || error.sqlstate === '3F000');
  return missing ? new BucardoError('BUC-NOT-APPLIED', { ...concern, cause: error }) : error;
}
