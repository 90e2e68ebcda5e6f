/**
 * Ways on which a change would be delivered twice, sent back, or not at all, between the syncs of a configuration. Works on names
 * and patterns, for all tables that there may ever be; `bucardo check` asks again with the tables that are there. Pure.
 */
import type { Problem } from '../errors/bucardo-error.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { type Overlap, overlapsOf } from './pattern-overlap.ts';
import { displaySelector, isLiteral } from './relations.ts';

/** A sync as far as it says what travels where. */
export interface Route {
  readonly name: string;
  readonly sources: readonly string[];
  readonly targets: readonly string[];
  readonly include: readonly PlacedSelector[];
  readonly exclude: readonly RelationName[];
}

interface PlacedSelector extends RelationName {
  /** Where it stands in the configuration. */
  readonly path: string;
}

export function routeProblems(routes: readonly Route[]): readonly Problem[] {
  return routes.flatMap((later, index) =>
    routes.slice(0, index).flatMap((earlier) => pairProblems(earlier, later)),
  );
}

function pairProblems(earlier: Route, later: Route): readonly Problem[] {
  const twice = common(earlier.targets, later.targets);
  const onward = common(earlier.targets, later.sources);
  const backward = common(later.targets, earlier.sources);
  const problems =
    twice === undefined ? [] : told(earlier, later, (overlap) => twiceText(earlier, twice, overlap));
  if (onward !== undefined && backward !== undefined)
    return [...problems, ...told(earlier, later, (overlap) => backText(earlier, onward, overlap))];
  return [
    ...problems,
    ...(onward === undefined
      ? []
      : told(earlier, later, (overlap) => cascadeText(earlier, later, onward, overlap))),
    ...(backward === undefined
      ? []
      : told(later, earlier, (overlap) => cascadeText(later, earlier, backward, overlap))),
  ];
}

function common(left: readonly string[], right: readonly string[]): string | undefined {
  return left.find((name) => right.includes(name));
}

/** One problem for each selector of `at` that shares a table with `other`. */
function told(
  other: Route,
  at: Route,
  text: (overlap: Overlap<PlacedSelector>) => string,
): readonly Problem[] {
  return overlapsOf(other, at).map((overlap) => ({ path: overlap.here.path, text: text(overlap) }));
}

function twiceText({ name }: Route, target: string, overlap: Overlap<PlacedSelector>): string {
  return `${shown(overlap)} is written to '${target}' by sync '${name}' too${met(overlap)}, and they would overwrite each other's rows; leave the table to one of the two syncs${wayOut(overlap)}`;
}

function backText({ name }: Route, source: string, overlap: Overlap<PlacedSelector>): string {
  return `${shown(overlap)} already comes to '${source}' by sync '${name}'${met(overlap)}, and would be sent back; changes in both directions need conflict handling, which is not supported yet: keep one direction`;
}

/** Rows that a lane writes are not captured again, on purpose: two syncs in a circle would never end. */
function cascadeText(first: Route, second: Route, between: string, overlap: Overlap<PlacedSelector>): string {
  const [target = ''] = second.targets;
  return `${shown(overlap)} comes to '${between}' by sync '${first.name}'${met(overlap)}, and rows that a sync writes there do not travel on: '${target}' would get them at the first copy and never again; send the table to '${target}' from '${first.sources[0] ?? ''}' directly, by sync '${first.name}' or one more sync, and take it out here${wayOut(overlap)}`;
}

function shown({ here }: Overlap<PlacedSelector>): string {
  return `'${displaySelector(here)}'`;
}

/** Which selector it meets there, where that is another one. */
function met({ here, other, example }: Overlap<PlacedSelector>): string {
  if (displaySelector(here) === displaySelector(other)) return '';
  const both =
    isLiteral(here) || isLiteral(other) ? '' : `; both match ${displayRelation(example)}, for example`;
  return ` (its '${displaySelector(other)}'${both})`;
}

function wayOut({ here, other }: Overlap<PlacedSelector>): string {
  const narrow = [here, other].find(isLiteral);
  if (narrow === undefined || [here, other].every(isLiteral)) return ", with 'exclude' if it is a pattern";
  return `: the one with the pattern can say exclude: ['${displaySelector(narrow)}']`;
}
