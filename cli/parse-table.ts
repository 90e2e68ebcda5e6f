/** Option values that name a table. */
import { InvalidArgumentError } from 'commander';
import { parseRelation, type RelationName } from '../shared/postgres/identifiers.ts';

/** @throws commander's own error, which ends in exit status 2 */
export function parseTable(text: string): RelationName {
  const relation = parseRelation(text);
  if (relation === undefined) throw new InvalidArgumentError(`${text} is not of the form schema.table.`);
  return relation;
}
