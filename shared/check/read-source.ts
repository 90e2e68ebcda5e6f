/**
 * What a source has, for the check: what capture would plan there, which rights are missing, how its lanes stand. Asks
 * first what may be read, so that a missing right is reported and ends nothing.
 */
import { CONTROL_SCHEMA_VERSION, CONTROL_SEQUENCES, CONTROL_TABLES } from '../capture/control-schema.ts';
import { readInstalled, readTableFacts } from '../capture/installed.ts';
import type { CaptureInput } from '../capture/plan-capture.ts';
import { readLooks } from '../capture/plan-source.ts';
import { resolveRelations, selectRelations } from '../capture/wanted.ts';
import type { Database, Sync } from '../config/types.ts';
import { describeTables, listTables } from '../postgres/catalog.ts';
import type { Connection } from '../postgres/connection.ts';
import { type LaneStatus, readStatus } from '../status/read-status.ts';
import { readTables, type TableAccess } from './read-tables.ts';
import { readTemporaryFileLimits, type TemporaryFileLimit } from './temporary-files.ts';

export interface SourceFacts {
  /** Of schema bucardo. */
  readonly schema: { readonly there: boolean; readonly mayUse: boolean };
  /** Our objects that the role may not use as a run does: `INSERT, UPDATE on table bucardo.progress`. */
  readonly unusable: readonly string[];
  /** What `apply` decides by; undefined if it may not be read. */
  readonly capture: CaptureInput | undefined;
  /** By `displayRelation`, everything that the syncs select or name. */
  readonly access: ReadonlyMap<string, TableAccess>;
  readonly lanes: readonly LaneStatus[];
  /** That a captured change may meet. */
  readonly temporaryFileLimits: readonly TemporaryFileLimit[];
}

const READ_SCHEMA = `
  select to_regnamespace('bucardo') is not null as there,
    coalesce(has_schema_privilege(to_regnamespace('bucardo'), 'usage'), true) as "mayUse"`;

/**
 * $1 our tables, $2 our sequences. One row per object of ours in schema bucardo that lacks rights: runs read and write
 * the control tables and read and purge delta tables, the notifier sets a sequence.
 */
const READ_UNUSABLE = `
  select format('%s on table bucardo.%s', array_to_string(missing, ', '), relname) as text
  from (
    select c.relname, array_remove(array[
      case when not has_table_privilege(c.oid, 'select') then 'SELECT' end,
      case when not has_table_privilege(c.oid, 'insert') then 'INSERT' end,
      case when not has_table_privilege(c.oid, 'update') then 'UPDATE' end,
      case when not has_table_privilege(c.oid, 'delete') then 'DELETE' end
    ], null) as missing
    from pg_class c
    where c.relnamespace = to_regnamespace('bucardo') and c.relkind = 'r' and c.relname = any($1)
  ) tables
  where missing <> '{}'
  union all
  select format('%s on sequence bucardo.%s', array_to_string(missing, ', '), relname)
  from (
    select c.relname, array_remove(array[
      case when not has_sequence_privilege(c.oid, 'select') then 'SELECT' end,
      case when not has_sequence_privilege(c.oid, 'update') then 'UPDATE' end
    ], null) as missing
    from pg_class c
    where c.relnamespace = to_regnamespace('bucardo') and c.relkind = 'S' and c.relname = any($2)
  ) sequences
  where missing <> '{}'
  union all
  select format('EXECUTE on function bucardo.%s()', p.proname)
  from pg_proc p
  where p.pronamespace = to_regnamespace('bucardo') and p.proname = 'tick' and not has_function_privilege(p.oid, 'execute')
  order by 1`;

/** @param mayReadControl without it nothing that `apply` decides by can be read */
export async function readSource(
  db: Connection,
  database: Database,
  syncs: readonly Sync[],
  mayReadControl: boolean,
): Promise<SourceFacts> {
  const schema = await db.row<SourceFacts['schema']>(READ_SCHEMA);
  const existing = await listTables(db);
  const selected = selectRelations(syncs, existing);
  const access = await readTables(db, selected);
  const control = schema.mayUse ? await readUnusable(db, CONTROL_TABLES) : [];
  if (!schema.mayUse || !mayReadControl || control.length > 0) {
    return { schema, unusable: control, capture: undefined, access, lanes: [], temporaryFileLimits: [] };
  }
  const installed = await readInstalled(db);
  const tables = await describeTables(db, selected);
  const oids = [...tables.values()].map(({ oid }) => oid);
  const facts = await readTableFacts(db, oids);
  const looks = await readLooks(db);
  const unusable = await readUnusable(db, [
    ...CONTROL_TABLES,
    ...installed.relations.map(({ deltaName }) => deltaName),
  ]);
  const { relations } = resolveRelations(selected, tables, facts, installed, database.name);
  const byStatement = relations.filter(({ capture }) => capture === 'statement').map(({ oid }) => oid);
  return {
    schema,
    unusable,
    capture: { database, syncs, existing, tables, facts, installed, looks },
    access,
    temporaryFileLimits: await readTemporaryFileLimits(db, byStatement),
    lanes:
      installed.origin === undefined ||
      installed.origin.schemaVersion < CONTROL_SCHEMA_VERSION ||
      unusable.length > 0
        ? []
        : await readStatus(db, syncs),
  };
}

async function readUnusable(db: Connection, tables: readonly string[]): Promise<readonly string[]> {
  const rows = await db.rows<{ text: string }>(READ_UNUSABLE, [tables, CONTROL_SEQUENCES]);
  return rows.map(({ text }) => text);
}
