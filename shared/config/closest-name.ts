/** "Did you mean": the known name that a mistyped one is nearest to. */

/** The nearest of `known` by edit distance, or undefined if none is near enough to be what was meant. */
export function closestName(typed: string, known: readonly string[]): string | undefined {
  // Of two letters, one changed is another name.
  const limit = typed.length < 3 ? 0 : Math.max(1, Math.floor(typed.length / 3));
  const ranked = known
    .map((name) => ({ name, distance: editDistance(typed.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((left, right) => left.distance - right.distance);
  return ranked[0]?.name;
}

/** Levenshtein's distance, one row of the matrix at a time. */
function editDistance(left: string, right: string): number {
  let above = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [row, leftCharacter] of Array.from(left).entries()) {
    const current = [row + 1];
    for (const [column, rightCharacter] of Array.from(right).entries()) {
      current.push(
        Math.min(
          (above[column + 1] ?? 0) + 1,
          (current[column] ?? 0) + 1,
          (above[column] ?? 0) + (leftCharacter === rightCharacter ? 0 : 1),
        ),
      );
    }
    above = current;
  }
  return above.at(-1) ?? 0;
}
