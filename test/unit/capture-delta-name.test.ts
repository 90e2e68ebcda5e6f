import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bucardoDeltaName,
  captureFunctionName,
  chooseDeltaNames,
  distinctDeltaName,
  txidIndexName,
} from '../../shared/capture/delta-name.ts';
import type { RelationName } from '../../shared/postgres/identifiers.ts';

describe('names of delta tables', () => {
  test.each([
    ['public', 't1', 'delta_public_t1'],
    ['public', 'Mixed Case', 'delta_public_Mixed Case'],
    [
      'public',
      'I_have_very_very_long_name_but_do_not_ignore_me_please',
      'delta_public_I_have_very_very_long_name_but_do_not_i!c920c858de',
    ],
    [
      'public',
      'i_have_very_very_long_name_but_do_not_ignore_me_please2',
      'delta_public_i_have_very_very_long_name_but_do_not_i!c223a47f4f',
    ],
    ['public', 'a.b', 'delta_public_a_b'],
    ['public', 'select', 'delta_public_select'],
    ['public', '1abc', 'delta_public_1abc'],
    ['public', 'ünïcode', 'delta_public_ünïcode'],
    ['public', 'a"b', 'delta_public_ab'],
    ['p', `${'0'.repeat(54)}1`, `delta_p_${'0'.repeat(54)}1`],
    ['p', `${'0'.repeat(55)}1`, `delta_p_${'0'.repeat(44)}!090c6e7093`],
  ])('%s.%s is captured into what Bucardo really creates', (schema, table, name) => {
    expect(bucardoDeltaName({ schema, table })).toBe(name);
  });

  test('a name whose bytes overflow is cut between characters, as the server cuts it', () => {
    const name = bucardoDeltaName({ schema: 'public', table: 'ü'.repeat(40) });
    expect(name).toBe(`delta_public_${'ü'.repeat(25)}`);
    expect(bucardoDeltaName({ schema: 'publi', table: 'ü'.repeat(40) })).toBe(
      `delta_publi_${'ü'.repeat(25)}`,
    );
  });

  test('relations that Bucardo maps to one name get two, whatever the order in which they are given', () => {
    const relations: RelationName[] = [
      { schema: 'a_b', table: 'c' },
      { schema: 'a', table: 'b_c' },
    ];
    const names = chooseDeltaNames(relations, new Set());
    expect(names.get('a.b_c')).toBe('delta_a_b_c');
    expect(names.get('a_b.c')).toMatch(/^delta_a_b_c![0-9a-f]{10}$/);
    expect(chooseDeltaNames(relations.toReversed(), new Set())).toEqual(names);
  });

  test('a name that exists already is left to its owner', () => {
    const names = chooseDeltaNames([{ schema: 'public', table: 't1' }], new Set(['delta_public_t1']));
    expect(names.get('public.t1')).toMatch(/^delta_public_t1![0-9a-f]{10}$/);
  });

  const identifier = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 63 })
    .filter((name) => Buffer.byteLength(name) <= 63 && !name.includes('\0'));
  const relation = fc.record({ schema: identifier, table: identifier });

  test('every name fits into 63 bytes, so the server cuts none', () => {
    fc.assert(
      fc.property(relation, (name) => {
        for (const delta of [bucardoDeltaName(name), distinctDeltaName(name)]) {
          for (const derived of [delta, captureFunctionName(delta), txidIndexName(delta)]) {
            expect(Buffer.byteLength(derived)).toBeLessThanOrEqual(63);
            expect(derived.isWellFormed()).toBe(true);
          }
        }
      }),
    );
  });

  test('distinct relations never share a delta table, function or index', () => {
    const part = fc.constantFrom(
      'a',
      'b',
      'a_b',
      'a.b',
      'a"b',
      'ü'.repeat(31),
      `${'ü'.repeat(30)}x`,
      'x'.repeat(63),
    );
    const relations = fc.uniqueArray(fc.record({ schema: part, table: part }), {
      selector: ({ schema, table }) => JSON.stringify([schema, table]),
      maxLength: 40,
    });
    fc.assert(
      fc.property(relations, (names) => {
        const chosen = [...chooseDeltaNames(names, new Set()).values()];
        expect(chosen).toHaveLength(names.length);
        for (const derive of [(name: string) => name, captureFunctionName, txidIndexName]) {
          expect(new Set(chosen.map(derive)).size).toBe(names.length);
        }
      }),
    );
  });
});
