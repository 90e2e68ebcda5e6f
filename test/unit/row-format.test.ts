import { describe, expect, test } from 'vitest';
import type { Column, Table } from '../../shared/postgres/catalog.ts';
import { planRelation, type RelationPlan } from '../../shared/replicate/relation-plan.ts';
import { rowFormat } from '../../shared/targets/postgres/row-format.ts';

function tableOf(castTypes: readonly string[]): Table {
  const column = (name: string, castType: string): Column => ({
    name,
    type: castType,
    castType,
    baseType: castType,
    collate: '',
    notNull: true,
    hasDefault: false,
    generated: false,
    identity: 'none',
  });
  const operators = { equals: 'operator(pg_catalog.=)', less: 'operator(pg_catalog.<)' };
  return {
    schema: 'public',
    table: 'items',
    oid: 1,
    partitioned: false,
    isPartition: false,
    inherits: false,
    subscribed: false,
    estimatedRows: 0,
    columns: [column('id', 'integer'), ...castTypes.map((type, index) => column(`c${index}`, type))],
    keys: [{ name: 'key', primary: true, columns: [{ name: 'id', nullable: false, ...operators }] }],
    uniqueConstraints: 1,
    foreignKeys: [],
    replaceable: true,
    sizeBytes: 0,
  };
}

function planFrom(source: readonly string[], target: readonly string[]): RelationPlan {
  const captured = { schema: 'public', table: 'items', deltaName: 'delta_public_items', keyColumns: ['id'] };
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
