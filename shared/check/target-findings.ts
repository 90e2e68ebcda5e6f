/**
 * What a lane's run would meet at its target, table by table. The run's own planning decides what is an error; here it is
 * asked again and again until it has nothing more to say. Pure.
 */
import { BucardoError, type Concern } from '../errors/bucardo-error.ts';
import type { Column, Table } from '../postgres/catalog.ts';
import {
  displayRelation,
  quoteIdentifier,
  quoteRelation,
  type RelationName,
} from '../postgres/identifiers.ts';
import { planRelation, type RelationPlan } from '../replicate/relation-plan.ts';
import { alwaysFits } from './column-types.ts';
import { type Finding, findingOf, missingRights, note, type Right, rightOf } from './finding.ts';
import type { TableAccess } from './read-tables.ts';
import { missingTable, rowSecurityError } from './source-findings.ts';

/** One table of a lane. */
export interface LaneTable {
  readonly sync: string;
  /** Names in the configuration. */
  readonly source: string;
  readonly destination: string;
  readonly name: RelationName;
  /** By which rows are captured, or would be; empty if that is not known. */
  readonly keyColumns: readonly string[];
  readonly sourceTable: Table;
  readonly targetTable: Table | undefined;
  readonly access: TableAccess | undefined;
  /** The first copy, `if-empty`, is still to come and the table has rows. */
  readonly keepsRows: boolean;
  /** The target's login. */
  readonly role: string;
  /** Triggers and foreign keys stay silent for replicated rows. */
  readonly replicaRole: boolean;
  /** Default collations of the databases. */
  readonly collations: { readonly source: string; readonly target: string };
}

export function findLaneTable(table: LaneTable): readonly Finding[] {
  const { access } = table;
  if (access?.mayUseSchema === false) {
    const grant = { on: `schema ${quoteIdentifier(access.schema)}`, role: table.role };
    return [missingRights(whereOf(table), [rightOf('USAGE')], grant)];
  }
  const { plan, errors } = planAll(table);
  return [
    ...errors.map((error) => findingOf(missingTable(error, access), whereOf(table))),
    ...(access === undefined || table.targetTable === undefined
      ? []
      : [...findAccess(table, access, plan), ...findBystanders(table, access)]),
    ...findColumns(table),
    ...(table.keepsRows
      ? [
          note(
            'warning',
            'copy-skipped',
            whereOf(table),
            'the target’s table has rows, so the first copy (if-empty) will leave it as it is, and it may differ',
            `Empty it, or run \`bucardo copy ${table.sync} --to ${table.destination}\` afterwards; with --accept to keep the rows.`,
          ),
        ]
      : []),
    ...(plan === undefined ? [] : findKeyCollations(table, plan)),
  ];
}

function whereOf({ sync, destination, name }: LaneTable): {
  database: string;
  sync: string;
  relation: string;
} {
  return { database: destination, sync, relation: displayRelation(name) };
}

/**
 * A run stops at the first thing that is wrong; a report has all of it. So each column that is found wrong is left out of the
 * tables and the plan is made again. A key without its column tells nothing new.
 */
function planAll(table: LaneTable): {
  readonly plan: RelationPlan | undefined;
  readonly errors: readonly BucardoError[];
} {
  const { name, keyColumns, source, destination } = table;
  const errors: BucardoError[] = [];
  let sourceTable = table.sourceTable;
  let targetTable = table.targetTable;
  for (;;) {
    try {
      const captured = { ...name, deltaName: '', keyColumns };
      const plan = planRelation(captured, sourceTable, targetTable, { source, destination });
      return { plan: errors.length === 0 ? plan : undefined, errors };
    } catch (error) {
      if (!(error instanceof BucardoError)) throw error;
      const { code, concern } = error;
      const keyIsMissing = errors.some(
        ({ concern }) => concern.column !== undefined && keyColumns.includes(concern.column),
      );
      // Without a key the source's own findings have said why.
      const saidAlready = keyIsMissing || concern.database === source || keyColumns.length === 0;
      if (code === 'BUC-COLUMN-MISSING') {
        errors.push(error);
        sourceTable = without(sourceTable, concern);
      } else if (code === 'BUC-COLUMN-REQUIRED' && targetTable !== undefined) {
        errors.push(error);
        targetTable = without(targetTable, concern);
      } else {
        if (!saidAlready) errors.push(error);
        return { plan: undefined, errors };
      }
    }
  }
}

function without(table: Table, { column }: Concern): Table {
  return { ...table, columns: table.columns.filter(({ name }) => name !== column) };
}

/** Rights that the run's statements need: on the columns that are written, and on the key by which rows are found. */
function findAccess(
  table: LaneTable,
  access: TableAccess,
  plan: RelationPlan | undefined,
): readonly Finding[] {
  const written = writtenColumns(table);
  const found = plan?.key.map(({ name }) => name) ?? table.keyColumns;
  const lacking = [
    lackingRight('SELECT', found, access.selectable),
    lackingRight('INSERT', written, access.insertable),
    lackingRight('UPDATE', written, access.updatable),
    access.mayDelete ? undefined : rightOf('DELETE'),
  ].filter((right) => right !== undefined);
  const where = whereOf(table);
  const grant = { on: quoteRelation(access), role: table.role };
  return [
    ...(lacking.length === 0 ? [] : [missingRights(where, lacking, grant)]),
    ...(access.rowSecurity ? [findingOf(rowSecurityError(where))] : []),
  ];
}

function writtenColumns({ sourceTable, targetTable }: LaneTable): readonly string[] {
  const sent = new Set(sourceTable.columns.map(({ name }) => name));
  return (targetTable?.columns ?? [])
    .filter(({ name, generated }) => sent.has(name) && !generated)
    .map(({ name }) => name);
}

/** Columns are named only if the role has the right on others of the table. */
function lackingRight(
  kind: string,
  needed: readonly string[],
  granted: readonly string[],
): Right | undefined {
  const missing = needed.filter((name) => !granted.includes(name));
  if (missing.length === 0) return undefined;
  return rightOf(kind, granted.length === 0 ? [] : missing);
}

/** What else acts when rows are written: triggers, and foreign keys that change other tables. */
function findBystanders(table: LaneTable, access: TableAccess): readonly Finding[] {
  const where = whereOf(table);
  const firing = access.triggers.filter(
    ({ enabled }) => enabled === 'A' || enabled === (table.replicaRole ? 'R' : 'O'),
  );
  return [
    ...firing.map(({ name }) =>
      note(
        'warning',
        'trigger-fires',
        where,
        `trigger ${name} fires for replicated rows too`,
        `Disable the trigger at the target, or let it return early where current_setting('bucardo.applying', true) = 'on'.`,
      ),
    ),
    ...access.rules
      .filter(({ enabled }) => enabled === 'A' || enabled === (table.replicaRole ? 'R' : 'O'))
      .map(({ name, event, instead }) =>
        note(
          instead ? 'error' : 'warning',
          'rule-acts',
          where,
          `rule ${name} ON ${event}${instead ? ' DO INSTEAD' : ''} acts on replicated rows too${instead ? ', which then do not arrive' : ''}`,
          `alter table ${quoteRelation(table.name)} disable rule ${quoteIdentifier(name)}; or write a trigger in its place, which can tell replicated rows from others.`,
        ),
      ),
    ...(table.replicaRole ? [] : access.actingForeignKeys).map(({ name, on, action }) =>
      note(
        'warning',
        'foreign-key-acts',
        where,
        `foreign key ${name} of ${displayRelation(on)} is ON DELETE ${action}: a replicated delete changes that table here too`,
        'Let the role set session_replication_role, or make the foreign key NO ACTION at the target.',
      ),
    ),
    ...(access.unlogged
      ? [
          note(
            'warning',
            'unlogged',
            where,
            'the table is unlogged: a crash of this server empties it, and only rows that change come again',
            'alter table … set logged, or copy the table again after a crash (`bucardo copy`).',
          ),
        ]
      : []),
  ];
}

function findColumns(table: LaneTable): readonly Finding[] {
  const { sourceTable, targetTable, source } = table;
  const targets = new Map(targetTable?.columns.map((column) => [column.name, column]));
  return sourceTable.columns.flatMap((column) => {
    const target = targets.get(column.name);
    if (target === undefined) return [];
    const where = { ...whereOf(table), column: column.name };
    return [
      ...(target.generated || alwaysFits(column.type, target.type)
        ? []
        : [
            findingOf(
              new BucardoError('BUC-COLUMN-TYPE', {
                ...where,
                detail: `${target.type} here, ${column.type} at ${source}: rows whose values do not fit are refused or changed`,
              }),
              {},
              'warning',
            ),
          ]),
      ...findFilled(column, target, where),
    ];
  });
}

function findFilled(
  column: Column,
  target: Column,
  where: { database: string; column: string },
): readonly Finding[] {
  if (target.generated && !column.generated) {
    return [
      note(
        'info',
        'generated-at-target',
        where,
        'the column is generated at the target: it is computed there, and the source’s values are not copied',
      ),
    ];
  }
  if (target.identity !== 'none') {
    return [
      note(
        'info',
        'identity-at-target',
        where,
        'values come from the source, and the identity’s sequence at the target does not follow',
        'Set the sequence before applications insert there.',
      ),
    ];
  }
  return [];
}

const COLLATABLE = new Set(['text', 'character varying', 'character', 'bpchar', 'name']);

/** What is one key under one collation may be two under another; with deterministic collations nothing but order differs. */
function findKeyCollations(table: LaneTable, { key }: RelationPlan): readonly Finding[] {
  return key.flatMap(({ name, target }) => {
    const column = table.sourceTable.columns.find((candidate) => candidate.name === name);
    if (column === undefined || !COLLATABLE.has(column.castType)) return [];
    const there = column.collate === '' ? `default (${table.collations.source})` : column.collate.trim();
    const here = target.collate === '' ? `default (${table.collations.target})` : target.collate.trim();
    if (there === here) return [];
    return [
      note(
        'info',
        'key-collation',
        { ...whereOf(table), column: name },
        `the key’s collation differs: ${here} here, ${there} at ${table.source}; keys that only one of them calls equal would be refused`,
      ),
    ];
  });
}
