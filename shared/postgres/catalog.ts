/**
 * What the catalogs say about tables: columns, keys, foreign keys, and what decides how a table is captured. Read in one
 * statement, so that all of it belongs to one moment.
 */
import type { Connection } from './connection.ts';
import { displayRelation, quoteRelation, type RelationName } from './identifiers.ts';

export interface Column {
  readonly name: string;
  /** As in DDL, with its length or precision: `character varying(20)`. Qualified unless in pg_catalog. */
  readonly type: string;
  /** Without length or precision: `character varying`. */
  readonly castType: string;
  /** As `castType`, but of a domain what it is based on: fit for a cast that must not truncate, which one to a domain may. */
  readonly baseType: string;
  /** `collate …` clause where the column's collation is not its type's default; otherwise empty. */
  readonly collate: string;
  /** As `collate`, but for a value that was cast to `baseType`. */
  readonly baseCollate: string;
  /** Texts that are equal by the column's collation are the same. True for types without collations. */
  readonly deterministic: boolean;
  /** The base type is one of Postgres's own, or an enum: no extension says what is equal. */
  readonly knownType: boolean;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  /** `generated always as (…)`, stored or virtual. */
  readonly generated: boolean;
  readonly identity: 'none' | 'always' | 'by default';
}

export interface KeyColumn {
  readonly name: string;
  readonly nullable: boolean;
  /** The index's own equality, schema-qualified: `operator(public.=)`. Right whatever the search_path is. */
  readonly equals: string;
  /** The index's own order, schema-qualified: `operator(public.<)`. */
  readonly less: string;
}

/** A unique index that could serve as a key: valid, immediate, without expressions and without a predicate. */
export interface UniqueIndex {
  readonly name: string;
  readonly primary: boolean;
  readonly columns: readonly KeyColumn[];
}

/** A unique index by which rows cannot be replicated. */
interface UnfitKey {
  readonly name: string;
  /** Names of its columns; expressions are left out. */
  readonly columns: readonly string[];
  /** A clause: `it is deferrable`. */
  readonly why: string;
}

export interface ForeignKey {
  readonly name: string;
  readonly references: RelationName;
  readonly deferrable: boolean;
}

/** A foreign key of another table, or of the table itself, that acts on its own rows when a row here is deleted. */
export interface ActingKey {
  /** The table whose rows are acted upon: its own, not those of inheritance children, which have no part in the key. */
  readonly table: RelationName;
  /** Its rows are in partitions. */
  readonly partitioned: boolean;
  readonly action: 'cascade' | 'set null' | 'set default';
  readonly columns: readonly {
    readonly referring: string;
    readonly referenced: string;
    /** `referenced equals referring`, schema-qualified. */
    readonly equals: string;
  }[];
}

export interface Table extends RelationName {
  readonly oid: number;
  readonly partitioned: boolean;
  readonly isPartition: boolean;
  /** Takes part in old-style inheritance, as parent or child. */
  readonly inherits: boolean;
  /** A logical-replication subscription of this database writes it. */
  readonly subscribed: boolean;
  /** As the server's planner estimates it: by the size now and the rows per page at the last ANALYZE, or the columns' widths. */
  readonly estimatedRows: number;
  /** In the table's order, dropped ones left out. */
  readonly columns: readonly Column[];
  /** Best key first; empty if rows cannot be told apart. */
  readonly keys: readonly UniqueIndex[];
  /** The other unique indexes, and why each of them cannot serve. */
  readonly unfitKeys: readonly UnfitKey[];
  /** How many unique or exclusion constraints (and unique indexes) there are altogether, keys included. */
  readonly uniqueConstraints: number;
  readonly foreignKeys: readonly ForeignKey[];
  /**
   * A row may be deleted and inserted again in one statement: every foreign key that refers to the table is NO ACTION, which
   * looks only at the end of the statement. The other actions would act on the referring rows.
   */
  readonly replaceable: boolean;
  /** What deleting a row would do elsewhere. */
  readonly actingKeys: readonly ActingKey[];
  /** Bytes on disk without indexes, TOAST included. */
  readonly sizeBytes: number;
}

const PAGE_BYTES = `current_setting('block_size')::int8`;
/** Header and line pointer of a row. */
const ROW_OVERHEAD_BYTES = 28;
/** The planner's guess for a value of no fixed width. Source: get_typavgwidth() in Postgres. */
const USUAL_VALUE_BYTES = 32;

/**
 * $1 schema names, $2 table names, pairwise. One row per table that exists, whatever its kind of storage.
 * Takes no locks beyond those of reading catalogs.
 */
const DESCRIBE_TABLES = `
  with wanted as (
    select c.oid, n.nspname, c.relname, c.relkind, c.relispartition
    from unnest($1::text[], $2::text[]) as w(schema_name, table_name)
    join pg_namespace n on n.nspname = w.schema_name
    join pg_class c on c.relnamespace = n.oid and c.relname = w.table_name
    where c.relkind in ('r', 'p')
  ),
  leaf as (
    select w.oid as root, l.reltuples, l.relpages, pg_relation_size(l.oid) / ${PAGE_BYTES} as pages
    from wanted w
    cross join lateral (
      select w.oid as relid where w.relkind = 'r'
      union all
      select p.relid from pg_partition_tree(w.oid) p where w.relkind = 'p' and p.isleaf
    ) tree
    join pg_class l on l.oid = tree.relid
  )
  select w.oid::int8::text as oid, w.nspname as schema, w.relname as table,
    w.relkind = 'p' as partitioned,
    w.relispartition as "isPartition",
    w.relkind = 'r' and not w.relispartition
      and exists (select from pg_inherits i where w.oid in (i.inhrelid, i.inhparent)) as inherits,
    exists (select from pg_subscription_rel s where s.srrelid = w.oid) as subscribed,
    (
      select coalesce(sum(case
        when leaf.reltuples > 0 and leaf.relpages > 0 then leaf.reltuples / leaf.relpages * leaf.pages
        else leaf.pages * ${PAGE_BYTES} / width.bytes
      end), 0)
      from leaf
      cross join (
        select ${ROW_OVERHEAD_BYTES} + sum(case when a.attlen > 0 then a.attlen else ${USUAL_VALUE_BYTES} end) as bytes
        from pg_attribute a
        where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped
      ) width
      where leaf.root = w.oid
    )::int8::text as "estimatedRows",
    (
      select coalesce(json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'castType', format_type(a.atttypid, -1),
        'baseType', format_type(base.oid, -1),
        'baseCollate', case when a.attcollation <> 0 and a.attcollation <> base.typcollation
          then format(' collate %I.%I', cn.nspname, co.collname) else '' end,
        'collate', case when a.attcollation <> 0 and a.attcollation <> t.typcollation
          then format(' collate %I.%I', cn.nspname, co.collname) else '' end,
        'deterministic', coalesce(co.collisdeterministic, true),
        'knownType', (
          with recursive base as (
            select t.typnamespace, t.typtype, t.typbasetype
            union all
            select b.typnamespace, b.typtype, b.typbasetype from base d join pg_type b on b.oid = d.typbasetype
          )
          select base.typnamespace = 'pg_catalog'::regnamespace or base.typtype = 'e' from base where base.typbasetype = 0
        ),
        'notNull', a.attnotnull,
        'hasDefault', a.atthasdef,
        'generated', a.attgenerated <> '',
        'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' else 'none' end
      ) order by a.attnum), '[]')
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      cross join lateral (
        with recursive base as (
          select t.oid, t.typbasetype, t.typcollation
          union all
          select b.oid, b.typbasetype, b.typcollation from base d join pg_type b on b.oid = d.typbasetype
        )
        select base.oid, base.typcollation from base where base.typbasetype = 0
      ) base
      left join pg_collation co on co.oid = a.attcollation
      left join pg_namespace cn on cn.oid = co.collnamespace
      where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped
    ) as columns,
    (
      select coalesce(json_agg(json_build_object(
        'name', k.index_name,
        'primary', k.indisprimary,
        'columns', k.columns
      ) order by k.indisprimary desc, k.nullable_columns, k.indnkeyatts, k.index_name), '[]')
      from (
        select ic.relname as index_name, i.indisprimary, i.indnkeyatts,
          count(*) filter (where not a.attnotnull) as nullable_columns,
          json_agg(json_build_object(
            'name', a.attname,
            'nullable', not a.attnotnull,
            'equals', format('operator(%I.%s)', opn.nspname, op.oprname),
            'less', format('operator(%I.%s)', opn.nspname, lo.oprname)
          ) order by p.position) as columns
        from pg_index i
        join pg_class ic on ic.oid = i.indexrelid
        cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality
          as p(attnum, opclass, position)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.attnum
        join pg_opclass oc on oc.oid = p.opclass
        join pg_am am on am.oid = oc.opcmethod
        join pg_amop ao on ao.amopfamily = oc.opcfamily and ao.amopstrategy = 3
          and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
        join pg_operator op on op.oid = ao.amopopr
        join pg_namespace opn on opn.oid = op.oprnamespace
        join pg_amop al on al.amopfamily = oc.opcfamily and al.amopstrategy = 1
          and al.amoplefttype = oc.opcintype and al.amoprighttype = oc.opcintype
        join pg_operator lo on lo.oid = al.amopopr
        where i.indrelid = w.oid and i.indisunique and i.indisvalid and i.indimmediate
          and i.indpred is null and i.indexprs is null and am.amname = 'btree'
          and p.position <= i.indnkeyatts
        group by ic.relname, i.indisprimary, i.indnkeyatts
      ) k
    ) as keys,
    (
      select coalesce(json_agg(json_build_object(
        'name', ic.relname,
        'columns', array(
          select a.attname from pg_attribute a
          where a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1]) order by a.attnum
        ),
        'why', case
          when not i.indisvalid then 'it is INVALID: its creation failed or has not ended'
          when i.indisexclusion then 'it is WITHOUT OVERLAPS'
          when i.indexprs is not null then 'it has an expression'
          when i.indpred is not null then 'it is partial (WHERE)'
          when not i.indimmediate then 'it is deferrable'
          else format('it is a %s index', am.amname)
        end
      ) order by i.indisprimary desc, ic.relname), '[]')
      from pg_index i
      join pg_class ic on ic.oid = i.indexrelid
      join pg_am am on am.oid = ic.relam
      where i.indrelid = w.oid and i.indisunique and not (i.indisvalid and i.indimmediate
        and i.indpred is null and i.indexprs is null and am.amname = 'btree')
    ) as "unfitKeys",
    (
      select count(*)::int from pg_index i where i.indrelid = w.oid and (i.indisunique or i.indisexclusion)
    ) as "uniqueConstraints",
    (
      select coalesce(json_agg(json_build_object(
        'name', f.conname,
        'references', json_build_object('schema', rn.nspname, 'table', r.relname),
        'deferrable', f.condeferrable
      ) order by f.conname), '[]')
      from pg_constraint f
      join pg_class r on r.oid = f.confrelid
      join pg_namespace rn on rn.oid = r.relnamespace
      where f.conrelid = w.oid and f.contype = 'f'
    ) as "foreignKeys",
    not exists (
      select from pg_constraint f where f.confrelid = w.oid and f.contype = 'f' and f.confdeltype <> 'a'
    ) as replaceable,
    (
      select coalesce(json_agg(json_build_object(
        'table', json_build_object('schema', rn.nspname, 'table', r.relname),
        'partitioned', r.relkind = 'p',
        'action', case f.confdeltype when 'c' then 'cascade' when 'n' then 'set null' else 'set default' end,
        'columns', (
          select json_agg(json_build_object(
            'referring', ra.attname,
            'referenced', a.attname,
            'equals', format('operator(%I.%s)', opn.nspname, op.oprname)
          ) order by p.position)
          from unnest(f.conkey, f.confkey, f.conpfeqop) with ordinality as p(referring, referenced, equals, position)
          join pg_attribute ra on ra.attrelid = f.conrelid and ra.attnum = p.referring
          join pg_attribute a on a.attrelid = f.confrelid and a.attnum = p.referenced
          join pg_operator op on op.oid = p.equals
          join pg_namespace opn on opn.oid = op.oprnamespace
        )
      ) order by f.conname), '[]')
      from pg_constraint f
      join pg_class r on r.oid = f.conrelid
      join pg_namespace rn on rn.oid = r.relnamespace
      where f.confrelid = w.oid and f.contype = 'f' and f.confdeltype in ('c', 'n', 'd') and f.conparentid = 0
    ) as "actingKeys",
    case when w.relkind = 'p'
      then (select coalesce(sum(pg_table_size(p.relid)), 0) from pg_partition_tree(w.oid) p where p.isleaf)
      else pg_table_size(w.oid)
    end::int8::text as "sizeBytes"
  from wanted w`;

type Counts = 'oid' | 'estimatedRows' | 'sizeBytes';
type TableRow = Omit<Table, Counts> & Readonly<Record<Counts, string>>;

/** `its key item_pkey cannot serve, because it is deferrable`; undefined if there is none such. */
export function unfitText(keys: readonly UnfitKey[]): string | undefined {
  if (keys.length === 0) return undefined;
  return keys.map(({ name, why }) => `its key ${name} cannot serve, because ${why}`).join('; ');
}

/** The tables among `names` that exist, by `displayRelation` name. */
export async function describeTables(
  db: Connection,
  names: readonly RelationName[],
): Promise<ReadonlyMap<string, Table>> {
  if (names.length === 0) return new Map();
  const rows = await db.rowsPrepared<TableRow>(DESCRIBE_TABLES, [
    names.map(({ schema }) => schema),
    names.map(({ table }) => table),
  ]);
  return new Map(
    rows.map((row) => [
      displayRelation(row),
      {
        ...row,
        oid: Number(row.oid),
        estimatedRows: Number(row.estimatedRows),
        sizeBytes: Number(row.sizeBytes),
      },
    ]),
  );
}

/**
 * `from`-item of a table's own rows. A partitioned table has its rows in its partitions only; any other may have inheritance
 * children, which are tables of their own.
 */
export function ownRows({ partitioned, ...name }: RelationName & Pick<Table, 'partitioned'>): string {
  return partitioned ? quoteRelation(name) : `only ${quoteRelation(name)}`;
}

/**
 * Ordinary and partitioned tables that a pattern may match, by name. Partitions are left out (their parent stands for
 * them), and so are temporary tables, Postgres's own schemas and ours.
 */
const LIST_TABLES = `
  select n.nspname as schema, c.relname as table
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
    and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bucardo')
  order by n.nspname, c.relname`;

export async function listTables(db: Connection): Promise<readonly RelationName[]> {
  return await db.rows<RelationName>(LIST_TABLES);
}
