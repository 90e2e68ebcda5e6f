/** Adds to whatever goes wrong in a step which relation it was about. */
import { asBucardoError } from '../../errors/bucardo-error.ts';
import { displayRelation, type RelationName } from '../../postgres/identifiers.ts';

export async function naming<Result>(relation: RelationName, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    throw asBucardoError(error).with({ relation: displayRelation(relation) });
  }
}
