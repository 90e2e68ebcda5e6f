/**
 * Finds the few of many numbered things that fail, level by level: every part that failed is divided, and what has gone through meanwhile may
 * be what another part waited for. Holds nothing but the parts that failed, so memory does not grow with what is searched.
 */

export type Selection =
  /** Both ends included. */
  { readonly from: number; readonly to: number } | { readonly numbers: readonly number[] };

export interface Failure<Reason> {
  readonly n: number;
  readonly reason: Reason;
}

/** A large range is divided into many: one bad row among millions then costs the work of all of them once more, not twice. */
const LARGE = 4_096;
const PARTS_OF_LARGE = 16;

/** More things than `most` failed; the reason is one of theirs. */
export class TooManyFailures<Reason> extends Error {
  readonly reason: Reason;

  constructor(reason: Reason) {
    super('too many failures');
    this.reason = reason;
  }
}

/**
 * @param attempt undefined if all of the selection went through, else why not; nothing of it has gone through then
 * @throws TooManyFailures
 */
export async function findFailures<Reason>(
  selection: Selection,
  attempt: (part: Selection) => Promise<Reason | undefined>,
  most: number,
): Promise<readonly Failure<Reason>[]> {
  const failures: Failure<Reason>[] = [];
  let parts: readonly Selection[] = sizeOf(selection) === 0 ? [] : [selection];
  while (parts.length > 0) {
    const failed: Selection[] = [];
    for (const part of parts) {
      const reason = await attempt(part);
      if (reason === undefined) continue;
      if (sizeOf(part) === 1) failures.push({ n: firstOf(part), reason });
      else failed.push(part);
      if (failures.length + failed.length > most) throw new TooManyFailures(reason);
    }
    parts = failed.flatMap(divide);
  }
  return failures.sort((a, b) => a.n - b.n);
}

export function sizeOf(selection: Selection): number {
  return 'numbers' in selection ? selection.numbers.length : selection.to - selection.from + 1;
}

function firstOf(selection: Selection): number {
  return 'numbers' in selection ? (selection.numbers[0] ?? 0) : selection.from;
}

function divide(selection: Selection): readonly Selection[] {
  const size = sizeOf(selection);
  const partSize = Math.ceil(size / (size > LARGE ? PARTS_OF_LARGE : 2));
  return Array.from({ length: Math.ceil(size / partSize) }, (_, index): Selection => {
    const [first, end] = [index * partSize, Math.min(size, (index + 1) * partSize)];
    return 'numbers' in selection
      ? { numbers: selection.numbers.slice(first, end) }
      : { from: selection.from + first, to: selection.from + end - 1 };
  });
}
