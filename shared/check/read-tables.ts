/**
 * What the role may do with tables, and what else acts on them: row security, triggers, foreign keys. For a source as for
 * a target. Catalogs only, so that no missing right keeps the answer away.
 */
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';

export interface TableAccess extends RelationName {
  readonly kind: 'table' | 'view' | 'materialized view' | 'foreign table' | 'sequence' | 'other';
  readonly unlogged: boolean;
  readonly mayUseSchema: boolean;
  readonly mayDelete: boolean;
  /** Columns by right; a right on the table is one on all of its columns. */
  readonly selectable: readonly string[];
  readonly insertable: readonly string[];
  readonly updatable: readonly string[];
  /** Row security would hide rows from the role. */
  readonly rowSecurity: boolean;
  /** Enabled triggers of users: `O` fires for applications, `A` always, `R` in the replica role only. */
  readonly triggers: readonly { readonly name: string; readonly enabled: string }[];
  /** Enabled rules on INSERT, UPDATE and DELETE, with when they act as for triggers. */
  readonly rules: readonly TableRule[];
  /** Foreign keys of others to this table whose ON DELETE changes the referring rows. */
  readonly actingForeignKeys: readonly ActingForeignKey[];
}

interface TableRule {
  readonly name: string;
  readonly event: 'INSERT' | 'UPDATE' | 'DELETE';
  /** DO INSTEAD: the rows that are written do not arrive. */
  readonly instead: boolean;
  readonly enabled: string;
}

export interface ActingForeignKey {
  readonly name: string;
  readonly on: RelationName;
  readonly action: 'CASCADE' | 'SET NULL' | 'SET DEFAULT';
}

/**
 * $1 schema names, $2 table names, pairwise. One row per relation that exists, of whatever kind. Triggers that call into
 * schema bucardo are capture triggers, which stay silent for replicated rows.
 */
const READ_TABLES = `
  select n.nspname as schema, c.relname as table,
    case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' when 'm' then 'materialized view'
      when 'f' then 'foreign table' when 'S' then 'sequence' else 'other' end as kind,
    c.relpersistence = 'u' as unlogged,
    has_schema_privilege(n.oid, 'usage') as "mayUseSchema",
    has_table_privilege(c.oid, 'delete') as "mayDelete",
    row_security_active(c.oid) as "rowSecurity",
    coalesce(a.selectable, '[]') as selectable,
    coalesce(a.insertable, '[]') as insertable,
    coalesce(a.updatable, '[]') as updatable,
    (
      select coalesce(json_agg(json_build_object('name', t.tgname, 'enabled', t.tgenabled) order by t.tgname), '[]')
      from pg_trigger t
      join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D'
        and p.pronamespace is distinct from to_regnamespace('bucardo')
    ) as triggers,
    (
      select coalesce(json_agg(json_build_object('name', r.rulename, 'instead', r.is_instead, 'enabled', r.ev_enabled,
        'event', case r.ev_type when '2' then 'UPDATE' when '3' then 'INSERT' else 'DELETE' end
      ) order by r.rulename), '[]')
      from pg_rewrite r
      where r.ev_class = c.oid and c.relkind in ('r', 'p') and r.ev_type in ('2', '3', '4') and r.ev_enabled <> 'D'
    ) as rules,
    (
      select coalesce(json_agg(json_build_object(
        'name', f.conname,
        'on', json_build_object('schema', fn.nspname, 'table', fc.relname),
        'action', case f.confdeltype when 'c' then 'CASCADE' when 'n' then 'SET NULL' else 'SET DEFAULT' end
      ) order by f.conname), '[]')
      from pg_constraint f
      join pg_class fc on fc.oid = f.conrelid
      join pg_namespace fn on fn.oid = fc.relnamespace
      where f.confrelid = c.oid and f.contype = 'f' and f.conparentid = 0 and f.confdeltype in ('c', 'n', 'd')
    ) as "actingForeignKeys"
  from unnest($1::text[], $2::text[]) as w(schema_name, table_name)
  join pg_namespace n on n.nspname = w.schema_name
  join pg_class c on c.relnamespace = n.oid and c.relname = w.table_name
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  cross join lateral (
    select
      json_agg(attname) filter (where has_column_privilege(c.oid, attnum, 'select')) as selectable,
      json_agg(attname) filter (where has_column_privilege(c.oid, attnum, 'insert')) as insertable,
      json_agg(attname) filter (where has_column_privilege(c.oid, attnum, 'update')) as updatable
    from pg_attribute
    where attrelid = c.oid and attnum > 0 and not attisdropped
  ) a`;

/** By `displayRelation`; only those that exist. */
export async function readTables(
  db: Connection,
  names: readonly RelationName[],
): Promise<ReadonlyMap<string, TableAccess>> {
  if (names.length === 0) return new Map();
  const rows = await db.rows<TableAccess>(READ_TABLES, [
    names.map(({ schema }) => schema),
    names.map(({ table }) => table),
  ]);
  return new Map(rows.map((row) => [displayRelation(row), row]));
}
