/**
 * Source and target judge differently which keys are the same: by collation, type, scale, case. A table of pairs of key types, each
 * with keys that are equal on one side and not on the other. No row is invented at the target and none is kept.
 */
import { describe, expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const TYPES = `
  create extension citext; create extension ltree;
  create collation ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  create domain label as text;
  create domain price as numeric(10,2);
  create type mood as enum ('a', 'B')`;

interface Pair {
  readonly source: string;
  readonly target: string;
  /** SQL of two keys that may be equal. */
  readonly keys: readonly [string, string];
  /** The source can hold both at once. */
  readonly twoAtSource: boolean;
  /** So can the target. */
  readonly twoAtTarget: boolean;
  /** What the target makes of the keys, as text; undefined if it does not keep it. */
  readonly kept: readonly [string | undefined, string | undefined];
}

const NONDETERMINISTIC = 'text collate ignoring_case';

const PAIRS: readonly Pair[] = [
  pair(NONDETERMINISTIC, 'text', `'Ab'`, `'AB'`, false, true, 'Ab', 'AB'),
  pair('text', NONDETERMINISTIC, `'Ab'`, `'AB'`, true, false, 'Ab', 'AB'),
  pair(NONDETERMINISTIC, NONDETERMINISTIC, `'Ab'`, `'AB'`, false, false, 'Ab', 'AB'),
  pair(NONDETERMINISTIC, 'citext', `'Ab'`, `'AB'`, false, false, 'Ab', 'AB'),
  pair('citext', 'text', `'Ab'`, `'AB'`, false, true, 'Ab', 'AB'),
  pair('text', 'citext', `'Ab'`, `'AB'`, true, false, 'Ab', 'AB'),
  pair('citext', 'citext', `'Ab'`, `'AB'`, false, false, 'Ab', 'AB'),
  pair('citext', 'varchar(10)', `'Ab'`, `'AB'`, false, true, 'Ab', 'AB'),
  pair('label', NONDETERMINISTIC, `'Ab'`, `'AB'`, true, false, 'Ab', 'AB'),
  pair('varchar(20)', 'varchar(40)', `'Ab'`, `'AB'`, true, true, 'Ab', 'AB'),
  pair('text', 'varchar(3)', `'abc'`, `'abc  '`, true, false, 'abc', undefined),
  pair('text', 'char(5)', `'a'`, `'a '`, true, false, 'a    ', undefined),
  pair('char(5)', 'text', `'a'`, `'b'`, true, true, 'a    ', 'b    '),
  pair('char(3)', 'char(5)', `'a'`, `'b'`, true, true, 'a    ', 'b    '),
  pair('text', 'name', `repeat('x', 63)`, `repeat('x', 64)`, true, false, 'x'.repeat(63), undefined),
  pair('numeric', 'numeric', `1.0`, `1.00`, false, false, '1.0', '1.00'),
  pair('numeric', 'text', `1.0`, `1.00`, false, true, '1.0', '1.00'),
  pair('text', 'numeric', `'1.0'`, `'1.00'`, true, false, '1.0', '1.00'),
  pair('numeric', 'numeric(10,2)', `1.0`, `1.00`, false, false, '1.00', '1.00'),
  pair('numeric', 'numeric(10,2)', `1.23`, `1.234`, true, false, '1.23', undefined),
  pair('numeric(10,2)', 'double precision', `0.10`, `0.20`, true, true, '0.1', '0.2'),
  pair(
    'numeric',
    'double precision',
    `9007199254740992`,
    `9007199254740993`,
    true,
    false,
    '9.007199254740992e+15',
    undefined,
  ),
  pair('double precision', 'numeric(10,2)', `0.5`, `0.501`, true, false, '0.50', undefined),
  pair('double precision', 'double precision', `'0'`, `'-0'`, false, false, '0', '-0'),
  pair('double precision', 'text', `'0'`, `'-0'`, false, true, '0', '-0'),
  pair('double precision', 'real', `0.5`, `0.1234567891`, true, true, '0.5', undefined),
  pair('price', 'numeric', `1.10`, `1.20`, true, true, '1.10', '1.20'),
  pair(
    'bigint',
    'double precision',
    `9007199254740992`,
    `9007199254740993`,
    true,
    false,
    '9.007199254740992e+15',
    undefined,
  ),
  pair('integer', 'bigint', `1`, `2`, true, true, '1', '2'),
  pair('text', 'integer', `'1'`, `'01'`, true, false, '1', undefined),
  pair('integer', 'text', `1`, `2`, true, true, '1', '2'),
  pair('interval', 'interval', `'1 mon'`, `'30 days'`, false, false, '1 mon', '30 days'),
  pair('interval', 'text', `'1 mon'`, `'30 days'`, false, true, '1 mon', '30 days'),
  pair(
    'timestamptz',
    'timestamptz(0)',
    `'2024-01-01 00:00:00+00'`,
    `'2024-01-01 00:00:00.4+00'`,
    true,
    false,
    '2024-01-01 00:00:00+00',
    undefined,
  ),
  pair(
    'timestamptz',
    'date',
    `'2024-01-01 00:00:00+00'`,
    `'2024-01-01 01:00:00+00'`,
    true,
    false,
    '2024-01-01',
    undefined,
  ),
  pair('numeric[]', 'numeric[]', `array[1.0]`, `array[1.00]`, false, false, '{1.0}', '{1.00}'),
  pair('jsonb', 'text', `'1.0'`, `'1.00'`, false, true, '1.0', '1.00'),
  pair('mood', 'text', `'a'`, `'B'`, true, true, 'a', 'B'),
  pair('ltree', 'text', `'a.b'`, `'A.b'`, true, true, 'a.b', 'A.b'),
];

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test.each(PAIRS)('keys of $source at the source and $target at the target ($keys)', async (given) => {
    const {
      keys: [one, two],
      kept: [first, second],
    } = given;
    const table = (key: string): string =>
      `${TYPES}; create table t (k ${key} primary key, note text); create table pairs (n int, k ${key}, note text, primary key (n, k))`;
    const lane = await createLaneFixture({
      schema: { source: table(given.source), target: table(given.target) },
      targetRole,
    });
    const expectTarget = async (
      ...rows: readonly (readonly [string | undefined, string])[]
    ): Promise<void> => {
      const there = rows.filter(([key]) => key !== undefined).map(([k, note]) => ({ k: k ?? '', note }));
      const order = (a: { note: string }, b: { note: string }): number => (a.note < b.note ? -1 : 1);
      for (const name of ['t', 'pairs'])
        expect((await atTarget(lane, name)).sort(order), name).toEqual([...there].sort(order));
      expect(await lane.held()).toEqual([]);
    };
    const both = (sql: string): Promise<void> =>
      lane.source.script(
        `begin; ${sql.replaceAll('T', 't')}; ${sql.replaceAll('T (', 'pairs (n, ').replaceAll('values (', 'values (1, ').replaceAll('T', 'pairs')}; commit`,
      );

    // A row, and a change beside its key.
    await both(`insert into T (k, note) values (${one}, 'a')`);
    await lane.run();
    await expectTarget([first, 'a']);
    await both(`update T set note = 'b'`);
    await lane.run();
    await expectTarget([first, 'b']);

    // The key is written differently.
    await both(`update T set k = ${two}, note = 'c'`);
    await lane.run();
    await expectTarget([second, 'c']);
    await both(`update T set k = ${one}, note = 'd'`);
    await lane.run();
    await expectTarget([first, 'd']);
    expect(await lane.rejected()).toEqual([]);

    // Deleted and inserted in the other way in one transaction.
    await both(`delete from T; insert into T (k, note) values (${two}, 'e')`);
    await lane.run();
    await expectTarget([second, 'e']);
    await both(`delete from T; insert into T (k, note) values (${one}, 'f')`);
    await lane.run();
    await expectTarget([first, 'f']);

    if (given.twoAtSource) {
      await both(`insert into T (k, note) values (${two}, 'g')`);
      await lane.run();
      // The one that came first stays, the other is parked, whoever changes.
      const other = given.twoAtTarget ? second : undefined;
      await expectTarget([first, 'f'], [other, 'g']);
      expect(await lane.rejected()).toHaveLength(other === undefined ? 2 : 0);
      await both(`update T set note = case note when 'f' then 'h' else 'i' end`);
      await lane.run();
      await expectTarget([first, 'h'], [other, 'i']);
      // What the parked row does takes nothing from the other.
      await both(`delete from T where note = 'i'`);
      await lane.run();
      await expectTarget([first, 'h']);
      expect(await lane.rejected()).toEqual([]);
    }
    await both(`delete from T`);
    await lane.run();
    await expectTarget();

    // As a copy, and everything once more.
    await both(`insert into T (k, note) values (${one}, 'z')`);
    await requestCopy(lane.source, { sync: 'orders' });
    await lane.run();
    await expectTarget([first, 'z']);
    await lane.source.run(`update bucardo.progress set mark = null`);
    await lane.run();
    await expectTarget([first, 'z']);
    expect(await lane.rejected()).toEqual([]);
  });
});

function pair(
  source: string,
  target: string,
  one: string,
  two: string,
  twoAtSource: boolean,
  twoAtTarget: boolean,
  ...kept: readonly [string | undefined, string | undefined]
): Pair {
  return { source, target, keys: [one, two], twoAtSource, twoAtTarget, kept };
}

async function atTarget(lane: LaneFixture, table: string): Promise<{ k: string; note: string }[]> {
  return await lane.target.rows(`select format('%s', k) as k, note from ${table}`);
}
