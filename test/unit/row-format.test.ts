import { describe, expect, test } from 'vitest';
import type { Table } from '../../shared/postgres/catalog.ts';
import { planRelation, type RelationPlan } from '../../shared/replicate/relation-plan.ts';
import { rowFormat } from '../../shared/targets/postgres/row-format.ts';
import { column, table } from '../support/described-tables.ts';

function tableOf(types: readonly string[]): Table {
  return table([
    column('id', { notNull: true }),
    ...types.map((castType, index) => column(`c${index}`, { castType })),
  ]);
}

function planFrom(source: readonly string[], target: readonly string[]): RelationPlan {
  const captured = {
    schema: 'public',
    table: 'orders',
    deltaName: 'delta_public_orders',
    keyColumns: ['id'],
  };
  const names = { source: 'east', destination: 'reports' };
  return planRelation(captured, tableOf(source), tableOf(target), names);
}

describe('rows travel', () => {
  test('in binary where every type is the same and has one form everywhere', () => {
    const types = ['text', 'numeric', 'timestamp with time zone', 'jsonb', 'integer[]', 'uuid'];
    expect(rowFormat(planFrom(types, types))).toBe('binary');
  });

  test('as text where a type differs from side to side', () => {
    expect(rowFormat(planFrom(['integer'], ['bigint']))).toBe('text');
    expect(rowFormat(planFrom(['text'], ['character varying']))).toBe('text');
  });

  test.each([
    ['interval', 'whose infinities older servers take for finite'],
    ['money', 'whose digits depend on a setting'],
    ['interval[]', 'as an array too'],
    ['public.citext', 'from an extension'],
    ['public.mood', 'of the user'],
    ['"char"', 'of a single byte'],
  ])('as text with %s, %s', (type) => {
    expect(rowFormat(planFrom([type], [type]))).toBe('text');
  });
});
