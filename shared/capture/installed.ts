/**
 * What is installed on a source now, as the catalogs and our registry have it. The registry is believed about names and keys,
 * the catalogs about everything that somebody may have dropped, disabled or renamed meanwhile.
 */
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import type { CaptureLevel } from './capture-sql.ts';
import { captureFunctionName } from './delta-name.ts';
import { AT_HOME, markIsFromHere } from './source-identity.ts';

export interface InstalledTrigger {
  readonly name: string;
  readonly on: RelationName;
  /** pg_trigger.tgenabled: `O` fires but not in the replica role, `A` always, `D` never, `R` only in the replica role. */
  readonly enabled: string;
  /** Created with an argument: @see CaptureTrigger.rare */
  readonly rare: boolean;
  /** The server made it on a partition from the parent's trigger. */
  readonly cloned: boolean;
}

/** A column of a delta table as it is. */
export interface DeltaColumn {
  readonly name: string;
  /** Without length or precision. */
  readonly type: string;
  /** `collate …` clause or empty. */
  readonly collate: string;
}

export interface InstalledRelation extends RelationName {
  readonly deltaName: string;
  readonly keyColumns: readonly string[];
  /** Base types of the key's columns as `apply` last saw them; undefined if an earlier version installed the relation. */
  readonly keyTypes: readonly string[] | undefined;
  readonly capture: CaptureLevel;
  /** Oid of the table that is captured, whatever has its name now; undefined if it was never recorded. */
  readonly tableOid: number | undefined;
  /** All columns of the delta table in order; undefined if it is gone. */
  readonly deltaColumns: readonly DeltaColumn[] | undefined;
  /** pg_proc.prosrc; undefined if the function is gone. */
  readonly functionSource: string | undefined;
  readonly triggers: readonly InstalledTrigger[];
}

export interface LaneName {
  readonly sync: string;
  readonly destination: string;
}

export interface Installed {
  /** Undefined if the control schema is not there. */
  readonly origin:
    | {
        readonly databaseName: string;
        readonly schemaVersion: number;
        /** Registry and marks belong to this database of this cluster. */
        readonly atHome: boolean;
      }
    | undefined;
  /** The role may create what is still missing: the schema, or objects in it. */
  readonly mayCreate: boolean;
  readonly relations: readonly InstalledRelation[];
  readonly syncRelations: readonly (RelationName & { readonly sync: string })[];
  readonly lanes: readonly LaneName[];
  /** Names of all relations in schema bucardo, whoever made them. */
  readonly takenNames: readonly string[];
}

/** One row. */
const READ_SERVER = `
  select to_regclass('bucardo.origin') is not null as there,
    coalesce(has_schema_privilege(to_regnamespace('bucardo'), 'create'),
      has_database_privilege(current_database(), 'create')) as "mayCreate",
    array(select relname::text from pg_class where relnamespace = to_regnamespace('bucardo')) as "takenNames"`;

const READ_ORIGIN = `
  select database_name as "databaseName", schema_version as "schemaVersion",
    ${AT_HOME} and not exists (select from bucardo.progress p where not ${markIsFromHere('p')}) as "atHome"
  from bucardo.origin`;

/** One row per registered relation, with what the catalogs say about its delta table. */
const READ_RELATIONS = `
  select r.schema_name as schema, r.table_name as table, r.delta_name as "deltaName",
    r.key_columns as "keyColumns", to_jsonb(r) -> 'key_types' as "keyTypes", r.capture,
    -- Before version 3 there is no such column.
    to_jsonb(r) ->> 'table_oid' as "tableOid",
    (
      select json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, -1),
        'collate', case when a.attcollation <> 0 and a.attcollation <> t.typcollation
          then format(' collate %I.%I', cn.nspname, co.collname) else '' end
      ) order by a.attnum)
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      left join pg_collation co on co.oid = a.attcollation
      left join pg_namespace cn on cn.oid = co.collnamespace
      where a.attrelid = d.oid and a.attnum > 0 and not a.attisdropped
    ) as "deltaColumns"
  from bucardo.relation r
  left join pg_class d
    on d.relname = r.delta_name and d.relnamespace = to_regnamespace('bucardo') and d.relkind = 'r'
  order by r.schema_name, r.table_name`;

/**
 * One row per trigger function of ours. Triggers are found by the function they call, so renaming a table or a
 * trigger hides nothing. Clones are marked by tgisinternal before Postgres 15, by tgparentid since 13.
 */
const READ_FUNCTIONS = `
  select p.proname as name, p.prosrc as source,
    (
      select coalesce(json_agg(json_build_object(
        'name', t.tgname,
        'on', json_build_object('schema', n.nspname, 'table', c.relname),
        'enabled', t.tgenabled,
        'rare', t.tgnargs > 0,
        'cloned', t.tgisinternal or coalesce(to_jsonb(t)->>'tgparentid', '0') <> '0'
      ) order by n.nspname, c.relname, t.tgname), '[]')
      from pg_trigger t
      join pg_class c on c.oid = t.tgrelid
      join pg_namespace n on n.oid = c.relnamespace
      where t.tgfoid = p.oid
    ) as triggers
  from pg_proc p
  where p.pronamespace = to_regnamespace('bucardo') and p.proname like 'capture\\_%'`;

interface ServerRow {
  readonly there: boolean;
  readonly mayCreate: boolean;
  readonly takenNames: readonly string[];
}

type RelationRow = Omit<
  InstalledRelation,
  'tableOid' | 'deltaColumns' | 'keyTypes' | 'functionSource' | 'triggers'
> & {
  readonly keyTypes: readonly string[] | null;
  readonly tableOid: string | null;
  readonly deltaColumns: readonly DeltaColumn[] | null;
};

interface FunctionRow {
  readonly name: string;
  readonly source: string;
  readonly triggers: readonly InstalledTrigger[];
}

/** Takes no locks beyond those of reading. */
export async function readInstalled(db: Connection): Promise<Installed> {
  const { there, ...server } = await db.row<ServerRow>(READ_SERVER);
  if (!there) return { ...server, origin: undefined, relations: [], syncRelations: [], lanes: [] };
  const [origin] = await db.rows<NonNullable<Installed['origin']>>(READ_ORIGIN);
  const relations = await db.rows<RelationRow>(READ_RELATIONS);
  const functions = new Map((await db.rows<FunctionRow>(READ_FUNCTIONS)).map((row) => [row.name, row]));
  return {
    ...server,
    origin,
    relations: relations.map((relation) => {
      const trigger = functions.get(captureFunctionName(relation.deltaName));
      return {
        ...relation,
        tableOid: relation.tableOid === null ? undefined : Number(relation.tableOid),
        deltaColumns: relation.deltaColumns ?? undefined,
        keyTypes: relation.keyTypes ?? undefined,
        functionSource: trigger?.source,
        triggers: trigger?.triggers ?? [],
      };
    }),
    syncRelations: await db.rows(
      `select sync, schema_name as schema, table_name as table from bucardo.sync_relation order by 1, 2, 3`,
    ),
    lanes: await db.rows(`select sync, destination from bucardo.progress order by 1, 2`),
  };
}

/** What planning must know about a table beyond its description. */
export interface TableFacts {
  readonly partitions: readonly RelationName[];
  /** A subscription writes the table or one of its partitions. */
  readonly subscribed: boolean;
  /** Of all partitions together. */
  readonly estimatedRows: number;
  /** Without it no right on the table is of use. */
  readonly mayUseSchema: boolean;
  readonly mayRead: boolean;
  readonly mayTrigger: boolean;
}

/**
 * $1 oids of tables. One row each. Foreign partitions are left out of `partitions`: before 16 they take no TRUNCATE
 * trigger.
 */
const READ_FACTS = `
  with recursive tree(root, member) as (
    select o, o from unnest($1::oid[]) o
    union all
    select tree.root, i.inhrelid
    from tree
    join pg_inherits i on i.inhparent = tree.member
    join pg_class c on c.oid = i.inhrelid and c.relispartition
  )
  select n.nspname as schema, r.relname as table,
    has_schema_privilege(n.oid, 'usage') as "mayUseSchema",
    has_table_privilege(r.oid, 'select') as "mayRead",
    has_table_privilege(r.oid, 'trigger') as "mayTrigger",
    (
      select sum(greatest(c.reltuples, 0))::float8
      from tree join pg_class c on c.oid = tree.member
      where tree.root = r.oid
    ) as "estimatedRows",
    exists (
      select from tree join pg_subscription_rel s on s.srrelid = tree.member where tree.root = r.oid
    ) as subscribed,
    (
      select coalesce(json_agg(json_build_object('schema', pn.nspname, 'table', c.relname)
        order by pn.nspname, c.relname), '[]')
      from tree
      join pg_class c on c.oid = tree.member
      join pg_namespace pn on pn.oid = c.relnamespace
      where tree.root = r.oid and tree.member <> r.oid and c.relkind in ('r', 'p')
    ) as partitions
  from pg_class r
  join pg_namespace n on n.oid = r.relnamespace
  where r.oid = any($1::oid[])`;

/** By `displayRelation`. */
export async function readTableFacts(
  db: Connection,
  oids: readonly number[],
): Promise<ReadonlyMap<string, TableFacts>> {
  const rows = await db.rows<RelationName & TableFacts>(READ_FACTS, [oids]);
  return new Map(rows.map((row) => [displayRelation(row), row]));
}
