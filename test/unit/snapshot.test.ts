import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  advance,
  covers,
  formatSnapshot,
  intersect,
  NOTHING,
  notCovered,
  parseSnapshot,
  type Snapshot,
} from '../../shared/postgres/snapshot.ts';

/** Ids are few and close together, so that every relation between snapshots comes up; and past the 32-bit epoch. */
const BASE = 2n ** 32n * 3n;
const HORIZON = 24;
const ids = Array.from({ length: HORIZON + 4 }, (_, i) => BASE + BigInt(i));

const snapshot: fc.Arbitrary<Snapshot> = fc
  .record({
    xmax: fc.integer({ min: 0, max: HORIZON }),
    running: fc.uniqueArray(fc.integer({ min: 0, max: HORIZON })),
  })
  .map(({ xmax, running }) => ({
    xmax: BASE + BigInt(xmax),
    running: running
      .filter((id) => id < xmax)
      .sort((a, b) => a - b)
      .map((id) => BASE + BigInt(id)),
  }));

/** Two snapshots of one cluster: what the older covers, the younger covers. */
const olderAndYounger = fc
  .tuple(snapshot, fc.integer({ min: 0, max: HORIZON }), fc.uniqueArray(fc.integer({ min: 0, max: HORIZON })))
  .map(([older, more, stillRunning]) => {
    const xmax =
      older.xmax + BigInt(more) > BASE + BigInt(HORIZON) ? BASE + BigInt(HORIZON) : older.xmax + BigInt(more);
    const running = stillRunning
      .map((id) => BASE + BigInt(id))
      .filter((id) => id < xmax && !covers(older, id))
      .sort((a, b) => (a < b ? -1 : 1));
    return [older, { xmax: xmax > older.xmax ? xmax : older.xmax, running } satisfies Snapshot] as const;
  });

describe('snapshots', () => {
  test('the text form survives reading and writing', () => {
    fc.assert(
      fc.property(snapshot, (s) => {
        expect(parseSnapshot(formatSnapshot(s))).toEqual(s);
      }),
    );
    expect(parseSnapshot('10:20:10,14,15')).toEqual({ xmax: 20n, running: [10n, 14n, 15n] });
    expect(formatSnapshot({ xmax: 20n, running: [] })).toBe('20:20:');
    for (const text of ['', '1:2', 'a:2:', '1:2:3;']) expect(() => parseSnapshot(text)).toThrow(TypeError);
  });

  test('nothing is covered before the first run', () => {
    expect(ids.some((id) => covers(NOTHING, id))).toBe(false);
  });

  test('a batch covers what it held and what was covered before, and not a transaction more', () => {
    fc.assert(
      fc.property(olderAndYounger, fc.nat(), ([from, end], pick) => {
        const cut = BASE + (BigInt(pick) % (end.xmax - BASE + 1n)) - 1n;
        const mark = advance(from, end, cut);
        for (const id of ids) {
          const held = id <= cut && covers(end, id);
          expect(covers(mark, id), String(id - BASE)).toBe(held || covers(from, id));
        }
        expect(parseSnapshot(formatSnapshot(mark))).toEqual(mark);
      }),
    );
  });

  test('a batch that was not cut covers all that its snapshot saw', () => {
    fc.assert(
      fc.property(olderAndYounger, ([from, end]) => {
        expect(advance(from, end, undefined)).toEqual(end);
      }),
    );
  });

  test('batch after batch drains a backlog: each transaction is in exactly one of them', () => {
    fc.assert(
      fc.property(olderAndYounger, fc.uniqueArray(fc.nat({ max: HORIZON })), ([from, end], cuts) => {
        let mark = from;
        const seen = new Map<bigint, number>();
        const steps = [
          ...cuts
            .sort((a, b) => a - b)
            .map((cut) => BASE + BigInt(cut))
            .filter((cut) => cut < end.xmax),
          undefined,
        ];
        for (const cut of steps) {
          for (const id of ids) {
            if (covers(end, id) && !covers(mark, id) && (cut === undefined || id <= cut))
              seen.set(id, (seen.get(id) ?? 0) + 1);
          }
          mark = advance(mark, end, cut);
        }
        for (const id of ids) expect(seen.get(id) ?? 0).toBe(covers(end, id) && !covers(from, id) ? 1 : 0);
      }),
    );
  });

  test('an intersection covers exactly what all of its marks cover', () => {
    fc.assert(
      fc.property(fc.array(snapshot, { minLength: 1, maxLength: 5 }), (marks) => {
        const [first, ...rest] = marks as [Snapshot, ...Snapshot[]];
        const common = intersect([first, ...rest]);
        for (const id of ids) expect(covers(common, id)).toBe(marks.every((mark) => covers(mark, id)));
        expect(parseSnapshot(formatSnapshot(common))).toEqual(common);
      }),
    );
  });

  test('the condition for SQL holds for what is not covered', () => {
    fc.assert(
      fc.property(snapshot, (s) => {
        const condition = notCovered('txid', s);
        const [, beyond = '', list = ''] =
          /^\(?txid >= (\d+)(?: or txid in \((.*)\)\))?$/.exec(condition) ?? [];
        for (const id of ids) {
          const holds = id >= BigInt(beyond) || list.split(', ').includes(String(id));
          expect(holds).toBe(!covers(s, id));
        }
      }),
    );
  });
});
