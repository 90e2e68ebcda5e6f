/** The order in which tables that refer to each other can be written while foreign keys are enforced. Pure. */
import { displayRelation } from '../postgres/identifiers.ts';
import type { RelationPlan } from './relation-plan.ts';

/**
 * Referenced tables before those that refer to them. Tables in a cycle keep their given order: only deferrable
 * constraints let such rows in.
 */
export function parentsFirst<Item extends { readonly plan: RelationPlan }>(
  items: readonly Item[],
): readonly Item[] {
  const byName = new Map(items.map((item) => [displayRelation(item.plan), item]));
  const ordered: Item[] = [];
  const visited = new Set<string>();
  const visit = (name: string, item: Item): void => {
    if (visited.has(name)) return;
    visited.add(name);
    for (const { references } of item.plan.target.foreignKeys) {
      const parent = byName.get(displayRelation(references));
      if (parent !== undefined) visit(displayRelation(references), parent);
    }
    ordered.push(item);
  };
  for (const [name, item] of byName) visit(name, item);
  return ordered;
}
