/**
 * Whether two syncs can take the same table: decided on the patterns alone, for every table that there may ever be. Patterns with
 * `*` are finite automata, and so are their intersection and what `exclude` leaves of it: the search below walks all of
 * them at once, one character of a table's name at a time, and ends at the shortest name that both syncs take. Pure.
 */
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { isLiteral, matcherOf, SYSTEM_SCHEMAS } from './relations.ts';

export interface TableSet<Selector extends RelationName> {
  readonly include: readonly Selector[];
  readonly exclude: readonly RelationName[];
}

export interface Overlap<Selector extends RelationName> {
  readonly here: Selector;
  /** The first selector of the other set that it shares a table with. */
  readonly other: Selector;
  /** A table that both sets take; it need not exist. */
  readonly example: RelationName;
}

/** Beyond this the answer would take seconds; the check with the real tables then has the last word. */
const MOST_STATES = 20_000;

/** For each selector of `at` that takes a table which `other` takes too. */
export function overlapsOf<Selector extends RelationName>(
  other: TableSet<Selector>,
  at: TableSet<Selector>,
): readonly Overlap<Selector>[] {
  const excludes = [...other.exclude, ...at.exclude];
  const isExcluded = anyOf(excludes);
  const literals = new Map(other.include.filter(isLiteral).map((one) => [displayRelation(one), one]));
  const patterns = other.include
    .filter((one) => !isLiteral(one))
    .map((selector) => ({ selector, fits: matcherOf(selector) }));
  return at.include.flatMap((here): readonly Overlap<Selector>[] => {
    if (isLiteral(here)) {
      if (isExcluded(here)) return [];
      const met = literals.get(displayRelation(here)) ?? patterns.find(({ fits }) => fits(here))?.selector;
      return met === undefined ? [] : [{ here, other: met, example: here }];
    }
    const fits = matcherOf(here);
    const literal = [...literals.values()].find((one) => fits(one) && !isExcluded(one));
    if (literal !== undefined) return [{ here, other: literal, example: literal }];
    for (const { selector } of patterns) {
      const example = commonName([here, selector], excludes);
      if (example !== undefined) return [{ here, other: selector, example }];
    }
    return [];
  });
}

function anyOf(selectors: readonly RelationName[]): (name: RelationName) => boolean {
  const literals = new Set(selectors.filter(isLiteral).map(displayRelation));
  const patterns = selectors.filter((selector) => !isLiteral(selector)).map(matcherOf);
  return (name) => literals.has(displayRelation(name)) || patterns.some((fits) => fits(name));
}

/** A pattern as the automaton's states: at position p it expects `tokens[p]`; behind the last one it accepts. */
type Step = string | typeof DOT;
type Token = Step | typeof ANY;
const ANY = Symbol('any run of characters');
/** Between schema and table; a dot within a name is a character. */
const DOT = Symbol('dot');

/** Where all automata are after some characters. An automaton with no position can accept nothing any more. */
interface State {
  readonly wanted: readonly (readonly number[])[];
  readonly excluded: readonly (readonly number[])[];
  /** The current part has no character yet, and no name is empty. */
  readonly fresh: boolean;
  readonly inTable: boolean;
}

interface Visit {
  readonly state: State;
  readonly step: Step | undefined;
  readonly before: Visit | undefined;
}

/** The shortest name that all of `wanted` match and none of `excluded`; undefined if there is none, or none was found in time. */
export function commonName(
  wanted: readonly RelationName[],
  excluded: readonly RelationName[],
): RelationName | undefined {
  const wantedTokens = wanted.map(tokensOf);
  const excludedTokens = [...excluded, ...SYSTEM_SCHEMAS].map(tokensOf);
  const alphabet = alphabetOf([...wantedTokens, ...excludedTokens]);
  const start: State = {
    wanted: wantedTokens.map((tokens) => closure(tokens, [0])),
    excluded: excludedTokens.map((tokens) => closure(tokens, [0])),
    fresh: true,
    inTable: false,
  };
  const seen = new Set<string>([keyOf(start)]);
  let front: readonly Visit[] = [{ state: start, step: undefined, before: undefined }];
  while (front.length > 0) {
    const next: Visit[] = [];
    for (const visit of front) {
      const { state } = visit;
      if (isCommon(state, wantedTokens, excludedTokens)) return nameOf(visit);
      const steps: readonly Step[] = state.fresh || state.inTable ? alphabet : [...alphabet, DOT];
      for (const step of steps) {
        const reached = follow(state, step, wantedTokens, excludedTokens);
        if (reached.wanted.some((positions) => positions.length === 0)) continue;
        const key = keyOf(reached);
        if (seen.has(key)) continue;
        if (seen.size >= MOST_STATES) return undefined;
        seen.add(key);
        next.push({ state: reached, step, before: visit });
      }
    }
    front = next;
  }
  return undefined;
}

function tokensOf({ schema, table }: RelationName): readonly Token[] {
  const part = (text: string): readonly Token[] => Array.from(text, (one) => (one === '*' ? ANY : one));
  return [...part(schema), DOT, ...part(table)];
}

/** All characters of the patterns, and before them one that stands for every other. */
function alphabetOf(patterns: readonly (readonly Token[])[]): readonly string[] {
  const used = new Set(patterns.flat().filter((token) => typeof token === 'string'));
  const other =
    Array.from('xyzabcdefghijklmnopqrstuvw0123456789_$').find((one) => !used.has(one)) ?? '\u00E9';
  return [other, ...used];
}

function closure(tokens: readonly Token[], positions: readonly number[]): readonly number[] {
  const reached = new Set<number>();
  for (const position of positions) {
    reached.add(position);
    for (let next = position; tokens[next] === ANY; next += 1) reached.add(next + 1);
  }
  return [...reached].sort((a, b) => a - b);
}

function follow(
  { wanted, excluded, inTable }: State,
  step: Step,
  wantedTokens: readonly (readonly Token[])[],
  excludedTokens: readonly (readonly Token[])[],
): State {
  const move = (tokens: readonly Token[], positions: readonly number[]): readonly number[] =>
    closure(
      tokens,
      positions.flatMap((position) => {
        if (tokens[position] === step) return [position + 1];
        return tokens[position] === ANY && step !== DOT ? [position] : [];
      }),
    );
  return {
    wanted: wanted.map((positions, index) => move(wantedTokens[index] ?? [], positions)),
    excluded: excluded.map((positions, index) => move(excludedTokens[index] ?? [], positions)),
    fresh: step === DOT,
    inTable: inTable || step === DOT,
  };
}

function isCommon(
  { wanted, excluded, fresh, inTable }: State,
  wantedTokens: readonly (readonly Token[])[],
  excludedTokens: readonly (readonly Token[])[],
): boolean {
  if (fresh || !inTable) return false;
  return (
    wanted.every((positions, index) => positions.includes(wantedTokens[index]?.length ?? -1)) &&
    !excluded.some((positions, index) => positions.includes(excludedTokens[index]?.length ?? -1))
  );
}

function keyOf({ wanted, excluded, fresh, inTable }: State): string {
  return `${String(fresh)} ${String(inTable)} ${[...wanted, ...excluded].map((positions) => positions.join(',')).join(';')}`;
}

function nameOf(last: Visit): RelationName {
  const steps: Step[] = [];
  for (let visit: Visit | undefined = last; visit?.step !== undefined; visit = visit.before)
    steps.unshift(visit.step);
  const dot = steps.indexOf(DOT);
  return {
    schema: steps.slice(0, dot).join(''),
    table: steps
      .slice(dot + 1)
      .map(String)
      .join(''),
  };
}
