/**
 * Locks on several tables of the application in one step. A step that holds one and waits for the next keeps the writers of the first
 * waiting as well, and `lock_timeout` counts for each lock anew. So only the first may be waited for; every further one must be had
 * almost at once, or the step gives all of them back and comes again.
 */
import { quoteIdentifier, quoteRelation } from '../postgres/identifiers.ts';
import { type CaptureTrigger, seesRows } from './capture-sql.ts';

/** Longer than a statement of an application takes with a partition, shorter than anybody notices. */
const FURTHER_LOCK_TIMEOUT_MS = 50;

/** For the rest of the step. */
export const NO_WAITING = `set local lock_timeout = ${FURTHER_LOCK_TIMEOUT_MS}`;

/**
 * Creates triggers. The one for TRUNCATE comes first: on a partitioned table it locks this table alone, and with it everybody who writes
 * through it; the one for rows then locks all partitions in one statement.
 *
 * @param partitioned there is more than one table to lock
 * @param replacing a trigger of the name may be there, which only the table's owner may drop
 */
export function createTriggersSql(
  triggers: readonly CaptureTrigger[],
  { partitioned, replacing }: { readonly partitioned: boolean; readonly replacing: boolean },
): readonly string[] {
  const create = ({ name, on, sql }: CaptureTrigger): readonly string[] =>
    replacing ? [`drop trigger if exists ${quoteIdentifier(name)} on ${quoteRelation(on)}`, sql] : [sql];
  if (!partitioned) return triggers.flatMap(create);
  const [first, ...rest] = [
    ...triggers.filter(({ name }) => !seesRows(name)).slice(0, 1),
    ...triggers.filter(({ name }) => seesRows(name)),
    ...triggers.filter(({ name }) => !seesRows(name)).slice(1),
  ];
  if (first === undefined) return [];
  return seesRows(first.name)
    ? [NO_WAITING, ...create(first), ...rest.flatMap(create)]
    : [...create(first), NO_WAITING, ...rest.flatMap(create)];
}
