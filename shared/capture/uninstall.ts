/**
 * Takes everything off a source again, table by table, and proves by the catalogs that nothing is left. Objects in schema
 * bucardo that are not ours (Bucardo 5 uses the same schema) are neither touched nor counted as ours; then the schema stays.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { TRIGGER_PREFIX } from './capture-sql.ts';
import { withCaptureLock } from './capture-lock.ts';
import { CONTROL_FUNCTIONS, CONTROL_SEQUENCES, CONTROL_TABLES } from './control-schema.ts';
import { captureFunctionName, txidIndexName } from './delta-name.ts';
import { dropRelationSql } from './drop-relation.ts';
import { type Installed, readInstalled } from './installed.ts';
import type { PlanStep } from './plan-capture.ts';
import { runSteps, type StepSettings } from './run-steps.ts';

export interface UninstallOptions extends StepSettings {
  /** Only this table; everything if undefined. */
  readonly relation?: RelationName;
}

export interface UninstallProof {
  /** What is still there of ours: `trigger bucardo_capture_insert on public.orders`. Empty is the proof. */
  readonly remaining: readonly string[];
  /** What schema bucardo holds besides, and why it therefore stays. */
  readonly foreign: readonly string[];
}

export function planUninstall(
  installed: Installed,
  { relation }: { readonly relation?: RelationName } = {},
): readonly PlanStep[] {
  const wanted = relation === undefined ? undefined : displayRelation(relation);
  const tables = installed.relations
    .filter((known) => wanted === undefined || displayRelation(known) === wanted)
    .map((known): PlanStep => ({
      title: `Stop capturing ${displayRelation(known)}`,
      relation: displayRelation(known),
      syncs: [],
      sql: dropRelationSql(known),
    }));
  if (wanted !== undefined || installed.origin === undefined) return tables;
  return [...tables, { title: 'Drop the control tables', syncs: [], sql: DROP_CONTROL }];
}

/** Foreign keys lie among these tables only, and one DROP takes them together. */
const DROP_CONTROL = [
  `drop table if exists ${CONTROL_TABLES.map((name) => `bucardo.${name}`).join(', ')}`,
  ...CONTROL_FUNCTIONS.map((name) => `drop function if exists bucardo.${name}`),
  `drop sequence if exists ${CONTROL_SEQUENCES.map((name) => `bucardo.${name}`).join(', ')}`,
];

/**
 * The name of everything in schema bucardo and of every trigger that calls into it or has a name of ours. One row each:
 * kind, name, and for triggers the table.
 */
const READ_LEFT = `
  select 'trigger' as kind, t.tgname::text as name, n.nspname as schema, c.relname as table
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_proc p on p.oid = t.tgfoid
  where t.tgname like '${TRIGGER_PREFIX.replaceAll('_', '\\_')}%'
    or p.pronamespace = to_regnamespace('bucardo') and p.proname like 'capture\\_%'
  union all
  select case c.relkind when 'S' then 'sequence' when 'i' then 'index' when 'v' then 'view' else 'table' end,
    c.relname, null, null
  from pg_class c where c.relnamespace = to_regnamespace('bucardo')
  union all
  select 'function', p.proname, null, null from pg_proc p where p.pronamespace = to_regnamespace('bucardo')
  union all
  select 'schema', nspname, null, null from pg_namespace where nspname = 'bucardo'
  order by 1, 2, 3, 4`;

interface LeftRow {
  readonly kind: string;
  readonly name: string;
  readonly schema: string | null;
  readonly table: string | null;
}

/**
 * Repeatable: after a failure half-way the next call does the rest.
 *
 * @throws BUC-TABLE-MISSING if `relation` is not captured; BUC-DB-LOCKED, BUC-DB-RIGHTS
 */
export async function uninstall(db: Connection, options: UninstallOptions): Promise<UninstallProof> {
  const { relation } = options;
  return await withCaptureLock(db, async () => {
    const installed = await readInstalled(db);
    const steps = planUninstall(installed, relation === undefined ? {} : { relation });
    if (relation !== undefined && steps.length === 0) {
      throw new BucardoError('BUC-TABLE-MISSING', {
        database: db.database,
        relation: displayRelation(relation),
        detail: 'it is not captured',
      });
    }
    await runSteps(db, steps, options);
    if (relation === undefined) await dropSchemaIfEmpty(db);
    return proveGone(await db.rows<LeftRow>(READ_LEFT), installed, relation);
  });
}

/** 2BP01: something that is not ours depends on the schema. */
async function dropSchemaIfEmpty(db: Connection): Promise<void> {
  try {
    await db.script(`drop schema if exists bucardo restrict`);
  } catch (error) {
    if (!(error instanceof BucardoError && error.sqlstate === '2BP01')) throw error;
  }
}

/** @param before what had been installed, which tells our delta tables from Bucardo's */
function proveGone(
  left: readonly LeftRow[],
  before: Installed,
  relation: RelationName | undefined,
): UninstallProof {
  const ours = new Set(
    relation === undefined ? [...CONTROL_TABLES, ...CONTROL_SEQUENCES, ...CONTROL_FUNCTIONS] : [],
  );
  for (const known of before.relations) {
    if (relation !== undefined && displayRelation(known) !== displayRelation(relation)) continue;
    for (const name of [
      known.deltaName,
      captureFunctionName(known.deltaName),
      txidIndexName(known.deltaName),
    ])
      ours.add(name);
  }
  const triggersHere = (row: LeftRow) =>
    relation === undefined || (row.schema === relation.schema && row.table === relation.table);
  const isOurs = (row: LeftRow) => (row.kind === 'trigger' ? triggersHere(row) : ours.has(row.name));
  const remaining = left.filter(isOurs).map(displayLeft);
  const foreign = left.filter((row) => row.kind !== 'trigger' && row.kind !== 'schema' && !isOurs(row));
  return { remaining, foreign: relation === undefined ? foreign.map(displayLeft) : [] };
}

function displayLeft({ kind, name, schema, table }: LeftRow): string {
  const on = schema === null || table === null ? '' : ` on ${displayRelation({ schema, table })}`;
  return `${kind} ${kind === 'trigger' || kind === 'schema' ? '' : 'bucardo.'}${name}${on}`;
}
