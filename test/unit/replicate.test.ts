/** The pure decisions of a lane's run: how a relation travels, in which order tables are written, how big a chunk is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import type { Table } from '../../shared/postgres/catalog.ts';
import { scopeOf } from '../../shared/postgres/error-scope.ts';
import { fromDriverError } from '../../shared/postgres/errors.ts';
import { chunkRows } from '../../shared/replicate/chunk-rows.ts';
import { planRelation, type RelationPlan } from '../../shared/replicate/relation-plan.ts';
import { retryDelaySeconds } from '../../shared/replicate/retry-delay.ts';
import { parentsFirst } from '../../shared/replicate/table-order.ts';
import { column, index, table } from '../support/described-tables.ts';

const NAMES = { source: 'east', destination: 'reports' };

const CAPTURED = { schema: 'public', table: 'orders', deltaName: 'delta_public_orders', keyColumns: ['id'] };
const ID = column('id', { notNull: true });

function plan(source: Table | undefined, target: Table | undefined, captured = CAPTURED): RelationPlan {
  return planRelation(captured, source, target, NAMES);
}

describe('the plan of a relation', () => {
  test('writes the columns of the source, described as the target has them, but those that the target computes', () => {
    const made = plan(
      table([ID, column('a'), column('made'), column('here', { generated: true })]),
      table([
        column('here', { type: 'text' }),
        column('made', { generated: true }),
        column('a', { type: 'numeric(9,2)' }),
        column('id', { type: 'bigint' }),
        column('own', { hasDefault: true, notNull: true }),
        column('sum', { generated: true }),
      ]),
    );
    expect(made.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'id bigint',
      'a numeric(9,2)',
      'here text',
    ]);
    expect(made.targetOnly.map(({ name }) => name)).toEqual(['own']);
    expect(made.key.map(({ name, target }) => `${name} ${target.type}`)).toEqual(['id bigint']);
  });

  test.each([
    ['BUC-TABLE-MISSING', 'east', undefined, table([ID])],
    ['BUC-TABLE-MISSING', 'reports', table([ID]), undefined],
    ['BUC-KEY-CHANGED', 'east', table([ID], { keys: [index('other')] }), table([ID])],
    ['BUC-KEY-CHANGED', 'east', table([ID], { keys: [] }), table([ID])],
    ['BUC-COLUMN-MISSING', 'reports', table([ID, column('price')]), table([ID])],
    ['BUC-COLUMN-REQUIRED', 'reports', table([ID]), table([ID, column('price', { notNull: true })])],
    ['BUC-TARGET-NO-UNIQUE', 'reports', table([ID]), table([ID], { keys: [index('id', 'other')] })],
  ] as const)('is refused with %s, named for %s', (code, database, source, target) => {
    const column = code.startsWith('BUC-COLUMN') ? 'price' : undefined;
    expect(() => plan(source, target)).toThrow(
      expect.objectContaining({
        code,
        concern: { sync: undefined, database, relation: 'public.orders', column },
      }),
    );
  });

  test('finds the key whatever the order of its columns, and keeps the captured order', () => {
    const columns = [column('a'), column('b')];
    const made = plan(
      table(columns, { keys: [index('b', 'a')] }),
      table(columns, { keys: [index('a', 'b')] }),
      {
        ...CAPTURED,
        keyColumns: ['b', 'a'],
      },
    );
    expect(made.key.map(({ name }) => name)).toEqual(['b', 'a']);
  });
});

test('parents come before their children, every table once, whatever refers to what', () => {
  const graph = fc.array(fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 3 }), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(graph, fc.boolean(), (references, acyclic) => {
      const items = references.map((parents, number) => ({
        plan: plan(
          table([ID], { table: `t${number}` }),
          table([ID], {
            table: `t${number}`,
            foreignKeys: parents
              .filter((parent) => !acyclic || parent > number)
              .map((parent) => ({
                name: 'f',
                references: { schema: 'public', table: `t${parent}` },
                deferrable: false,
              })),
          }),
          { ...CAPTURED, table: `t${number}` },
        ),
      }));
      const ordered = parentsFirst(items).map(({ plan }) => plan.table);
      expect([...ordered].sort()).toEqual(items.map(({ plan }) => plan.table).sort());
      if (!acyclic) return;
      for (const { plan } of items) {
        for (const { references } of plan.target.foreignKeys) {
          const parent = ordered.indexOf(references.table);
          if (parent !== -1) expect(parent).toBeLessThan(ordered.indexOf(plan.table));
        }
      }
    }),
  );
});

test('a chunk is never empty and never unbounded', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat({ max: Number.MAX_SAFE_INTEGER }), (estimatedRows, sizeBytes) => {
      const rows = chunkRows({ estimatedRows, sizeBytes });
      expect(Number.isInteger(rows)).toBe(true);
      expect(rows).toBeGreaterThanOrEqual(100);
      expect(rows).toBeLessThanOrEqual(500_000);
    }),
  );
  expect(chunkRows({ estimatedRows: 0, sizeBytes: 0 })).toBe(20_000);
  expect(chunkRows({ estimatedRows: 1_000_000, sizeBytes: 1_000_000 * 1024 })).toBe(65_536);
});

test('delays double from a second to a minute', () => {
  expect([1, 2, 3, 6, 7, 8, 1_000].map(retryDelaySeconds)).toEqual([1, 2, 4, 32, 60, 60, 60]);
});

test.each([
  ['23505', 'row'],
  ['22P02', 'row'],
  ['21000', 'row'],
  ['54000', 'row'],
  ['P0001', 'row'],
  ['45000', 'row'],
  ['MYERR', 'row'],
  ['42703', 'relation'],
  ['0A000', 'relation'],
  ['55000', 'relation'],
  ['428C9', 'relation'],
  ['08006', 'lane'],
  ['25006', 'lane'],
  ['40001', 'lane'],
  ['53300', 'lane'],
  ['55P03', 'relation'],
  ['57P01', 'lane'],
  ['XX000', 'row'],
  ['ECONNRESET', 'lane'],
  ['EPERM', 'lane'],
])('an error with code %s concerns a %s', (code, scope) => {
  expect(scopeOf(fromDriverError({ code, message: 'm' }, { database: 'reports' }))).toBe(scope);
});

test('errors without a SQLSTATE concern the lane, but too many refused rows their relation', () => {
  expect(scopeOf(new BucardoError('BUC-UNEXPECTED'))).toBe('lane');
  expect(scopeOf(new BucardoError('BUC-TOO-MANY-REFUSED'))).toBe('relation');
});
