/**
 * Source and target judge differently which keys are the same: by collation, type, scale, case. A table of pairs of key types, each
 * with keys that are equal on one side and not on the other. No row is invented at the target and none is kept.
 */
import { expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

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

/** Under which keys are written differently; what we compare must not depend on it. */
const ODD_SETTINGS = Object.entries({
  datestyle: 'SQL, DMY',
  intervalstyle: 'iso_8601',
  timezone: 'Asia/Tokyo',
  bytea_output: 'escape',
  extra_float_digits: '-5',
})
  .map(
    ([name, value]) =>
      `do $$ begin execute format('alter database %I set ${name} = %L', current_database(), '${value}'); end $$`,
  )
  .join(';');

type Row = readonly [key: string | undefined, note: string];

test.each([undefined, 'writer'] as const)(
  'no row is invented and none kept, whatever source and target take for the same key, with the target role %s',
  async (targetRole) => {
    const tables = (side: 'source' | 'target'): string =>
      PAIRS.map(
        (given, n) => `
          create table alone_${n} (k ${given[side]} primary key, note text);
          create table beside_${n} (n int, k ${given[side]}, note text, primary key (n, k))`,
      ).join(';');
    const lane = await createLaneFixture({
      schema: {
        source: `${TYPES}; ${tables('source')}`,
        target: `${TYPES}; ${tables('target')}; ${ODD_SETTINGS}`,
      },
      targetRole,
    });

    /** What each pair does in one transaction: `T` stands for its tables, which have one key column or two. */
    const step = async (sql: (given: Pair) => string): Promise<void> => {
      const statements = PAIRS.flatMap((given, n) => [
        sql(given).replaceAll('T', `alone_${n}`),
        sql(given)
          .replaceAll('T (', 'T (n, ')
          .replaceAll('values (', 'values (1, ')
          .replaceAll('T', `beside_${n}`),
      ]);
      await lane.source.script(`begin; ${statements.join(';')}; commit`);
      await lane.run();
      expect(await lane.held()).toEqual([]);
    };

    const expectTarget = async (rows: (given: Pair) => readonly Row[]): Promise<void> => {
      const expected = PAIRS.flatMap((given, n) => {
        const kept = rows(given).filter(([key]) => key !== undefined);
        return ['alone', 'beside'].map((name) => [`${name}_${n}: ${given.source} to ${given.target}`, kept]);
      });
      const found = PAIRS.flatMap((given, n) =>
        ['alone', 'beside'].map(async (name) => {
          const there = await lane.target.rows<{ k: string; note: string }>(
            `select format('%s', k) as k, note from ${name}_${n} order by note`,
          );
          return [`${name}_${n}: ${given.source} to ${given.target}`, there.map(({ k, note }) => [k, note])];
        }),
      );
      expect(Object.fromEntries(await Promise.all(found))).toEqual(Object.fromEntries(expected));
    };

    // A row, and a change beside its key.
    await step(({ keys: [one] }) => `insert into T (k, note) values (${one}, 'a')`);
    await expectTarget(({ kept: [first] }) => [[first, 'a']]);
    await step(() => `update T set note = 'b'`);
    await expectTarget(({ kept: [first] }) => [[first, 'b']]);

    // The key is written differently, and back.
    await step(({ keys: [, two] }) => `update T set k = ${two}, note = 'c'`);
    await expectTarget(({ kept: [, second] }) => [[second, 'c']]);
    await step(({ keys: [one] }) => `update T set k = ${one}, note = 'd'`);
    await expectTarget(({ kept: [first] }) => [[first, 'd']]);
    expect(await lane.rejected()).toEqual([]);

    // Deleted, and inserted in the other way, in one transaction.
    await step(({ keys: [, two] }) => `delete from T; insert into T (k, note) values (${two}, 'e')`);
    await expectTarget(({ kept: [, second] }) => [[second, 'e']]);
    await step(({ keys: [one] }) => `delete from T; insert into T (k, note) values (${one}, 'f')`);
    await expectTarget(({ kept: [first] }) => [[first, 'f']]);

    // A second row where the source can have it: the first one stays, and where they are one key at the target the second is parked.
    const other = ({ twoAtSource, twoAtTarget, kept: [, second] }: Pair): string | undefined =>
      twoAtSource && twoAtTarget ? second : undefined;
    await step(({ keys: [, two], twoAtSource }) =>
      twoAtSource ? `insert into T (k, note) values (${two}, 'g')` : `update T set note = 'f'`,
    );
    await expectTarget((given) => [
      [given.kept[0], 'f'],
      [other(given), 'g'],
    ]);
    const parked = PAIRS.flatMap((given, n) =>
      given.twoAtSource && other(given) === undefined ? [`public.alone_${n}`, `public.beside_${n}`] : [],
    );
    const rejected = await lane.rejected();
    expect(rejected.map(({ relation }) => relation).sort()).toEqual(parked.sort());
    await step(() => `update T set note = case note when 'f' then 'h' else 'i' end`);
    await expectTarget((given) => [
      [given.kept[0], 'h'],
      [other(given), 'i'],
    ]);

    // What the parked row does takes nothing from the other.
    await step(() => `delete from T where note = 'i'`);
    await expectTarget(({ kept: [first] }) => [[first, 'h']]);
    expect(await lane.rejected()).toEqual([]);

    // Everything once more, as changes and as a copy.
    await lane.source.run(`update bucardo.progress set mark = null`);
    await lane.run();
    await expectTarget(({ kept: [first] }) => [[first, 'h']]);
    await requestCopy(lane.source, { sync: 'orders' });
    await lane.run();
    await expectTarget(({ kept: [first] }) => [[first, 'h']]);
    expect(await lane.rejected()).toEqual([]);
    await step(() => `delete from T`);
    await expectTarget(() => []);
  },
  300_000,
);

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
