/**
 * Deletes rows that are gone at the source where foreign keys act. A row there takes with it, by ON DELETE CASCADE, whatever
 * refers to it at the target now; at the source that may have moved to another row before, by a change that comes later in
 * the batch or in a later one. Only the row that moved has a delta, and not what refers to it in turn, so that would be lost.
 * SET NULL is as bad where it changes the key of the row that refers: no delta knows that row. Hence a row is deleted
 * only when no row of the lane's tables would be harmed by it.
 */
import { BucardoError } from '../../errors/bucardo-error.ts';
import { displayRelation } from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import { anyLeft, deleteStatement, deleteUnreferred, isItself } from './statements.ts';

/** How statements about some keys are run: with their values bound. */
export interface KeyStatements {
  /** The destination's name, for errors. */
  readonly database: string;
  /** `from`-item of the keys. */
  readonly from: string;
  /** `from`-item of keys whose rows stay. */
  readonly unless?: string | undefined;
  readonly run: (sql: string) => Promise<number>;
  readonly ask: (sql: string) => Promise<boolean>;
}

/**
 * Returns how many rows were deleted.
 * @throws BUC-ROW-REFUSED if some are still referred to, with the SQLSTATE that a plain foreign key gives; the caller rolls back
 */
export async function deleteGone(
  plan: RelationPlan,
  { database, from, unless, run, ask }: KeyStatements,
): Promise<number> {
  if (plan.guardingKeys.length === 0) return await run(deleteStatement(plan, from, unless));
  const statement = deleteUnreferred(plan, from, unless);
  let deleted = await run(statement);
  // A table that refers to itself: leaves first, then what has become a leaf.
  if (plan.guardingKeys.some(({ table }) => isItself(plan, table))) {
    for (let more = deleted; more > 0; deleted += more) more = await run(statement);
  }
  if (!(await ask(anyLeft(plan, from, unless)))) return deleted;
  throw stillReferredTo(plan, database);
}

export function stillReferredTo(plan: RelationPlan, database: string): BucardoError {
  return new BucardoError('BUC-ROW-REFUSED', {
    database,
    relation: displayRelation(plan),
    detail:
      'rows that are not to be deleted refer to it by a foreign key that would act on them, SQLSTATE 23503',
    sqlstate: '23503',
  });
}
