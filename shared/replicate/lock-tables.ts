/**
 * Makes sure that what a batch or a copy's chunk reads of a table is what its snapshot shows. DDL is not MVCC-safe (Postgres
 * manual, "Caveats" of concurrency control): to a snapshot from before, a rewritten table looks empty, and every row would be
 * taken for deleted. A column may mean something else by the time it is read, because statements are parsed by the catalogs as
 * they are now, whatever the snapshot.
 *
 * So the tables are locked first (ACCESS SHARE, which keeps away only what needs the table for itself), with their partitions
 * and indexes. Then the snapshot's catalogs are compared with the present ones: the table, its file, its partitions' files, its
 * columns. The locks last as long as the transaction, so what is equal then stays equal. What differs needs a newer snapshot.
 *
 * A lock that is not to be had at once is not waited for with the snapshot open: the table is left out, the others go on.
 */
import { isDeepStrictEqual } from 'node:util';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import { describeTables, ownRows, type Table } from '../postgres/catalog.ts';
import type { Connection, ResultColumn } from '../postgres/connection.ts';
import { scopeOf } from '../postgres/error-scope.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';

/**
 * Longer than what DDL takes that does not rewrite a table; shorter than the default of `deadlock_timeout` (1 s), so that a
 * migration which waits for one of these locks while holding another is never the one that is cancelled.
 */
const LOCK_TIMEOUT_MS = 250;

/** First statement of a transaction that reads tables: none of its statements waits for a lock for long. Takes no snapshot. */
export const SHORT_LOCK_WAIT = `set local lock_timeout = ${LOCK_TIMEOUT_MS}`;

/** A table as the snapshot has it. */
export interface LockedTable extends RelationName {
  readonly oid: number;
  readonly partitioned: boolean;
}

/** What the snapshot says of one table. */
interface Seen {
  readonly oid: string;
  /** A column's type is null for a domain, which a result gives as the type behind it. */
  readonly columns: readonly {
    readonly number: number;
    readonly name: string;
    readonly type: string | null;
    readonly modifier: number;
  }[];
  /** Every file that the snapshot knows is the present one, and belongs to a partition that still is one. */
  readonly sameFiles: boolean;
}

/**
 * $1 oids of tables. One row each. `relfilenode` and the inheritance tree are read through the snapshot, `pg_relation_filenode` and
 * `pg_partition_tree` give the present. A partition that is only there now has nothing that the snapshot could show.
 */
const SEEN = `
  with recursive tree(root, member) as (
    select o, o from unnest($1::oid[]) o
    union all
    select tree.root, i.inhrelid
    from tree
    join pg_inherits i on i.inhparent = tree.member
    join pg_class c on c.oid = i.inhrelid and c.relispartition
  ),
  present as materialized (
    select o as root, p.relid as member from unnest($1::oid[]) o cross join lateral pg_partition_tree(o) p
  ),
  files as (
    select tree.root, bool_and(
      nullif(c.relfilenode, 0) is not distinct from nullif(pg_relation_filenode(c.oid), 0)
      and (tree.member = tree.root or present.member is not null)
    ) as same
    from tree
    join pg_class c on c.oid = tree.member
    left join present on (present.root, present.member) = (tree.root, tree.member)
    group by tree.root
  )
  select files.root::int8::text as oid, files.same as "sameFiles",
    (
      select coalesce(json_agg(json_build_object(
        'number', a.attnum,
        'name', a.attname,
        'type', case when t.typtype <> 'd' then a.atttypid::int8::text end,
        'modifier', a.atttypmod
      ) order by a.attnum), '[]')
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      where a.attrelid = files.root and a.attnum > 0 and not a.attisdropped
    ) as columns
  from files`;

/**
 * Locks the tables for the rest of the transaction and compares. Always in the order of names: all of a lane's runs take their locks
 * in one order.
 *
 * @param source in a transaction whose snapshot is taken and that began with SHORT_LOCK_WAIT
 * @returns the tables that are not what the snapshot shows; they must not be read with it
 * @throws what a table cannot be read for, without its name; 55P03 if a lock is not to be had. The transaction is over then.
 */
export async function lockTables<Item extends LockedTable>(
  source: Connection,
  tables: readonly Item[],
): Promise<readonly Item[]> {
  if (tables.length === 0) return [];
  const ordered = inOrder(tables);
  const results = await source.resultColumns(ordered.map(lookAt));
  const seen = await source.rowsPrepared<Seen>(SEEN, [ordered.map(({ oid }) => oid)]);
  const byOid = new Map(seen.map((table) => [Number(table.oid), table]));
  return ordered.filter((table, position) => {
    const snapshot = byOid.get(table.oid);
    return snapshot?.sameFiles !== true || !sameColumns(table, snapshot, results[position] ?? []);
  });
}

/** Whether the tables that the transaction's snapshot shows are the ones that were described earlier; they are locked then. */
export async function areAsPlanned(source: Connection, planned: readonly Table[]): Promise<boolean> {
  const now = await describeTables(source, planned);
  const same = planned.every((table) => {
    const described = now.get(displayRelation(table));
    return described !== undefined && isDeepStrictEqual(definitionOf(described), definitionOf(table));
  });
  return same && (await lockTables(source, planned)).length === 0;
}

function definitionOf({ oid, partitioned, columns, keys }: Table): unknown {
  return { oid, partitioned, columns, keys };
}

function inOrder<Item extends RelationName>(tables: readonly Item[]): readonly Item[] {
  return [...tables].sort((a, b) => (displayRelation(a) < displayRelation(b) ? -1 : 1));
}

/**
 * Planning a query locks the table, all of its partitions and all indexes of these: as LOCK TABLE would, which does not lock
 * indexes, and before Postgres 13 needs a right on every partition.
 */
function lookAt({ schema, table, partitioned }: Omit<LockedTable, 'oid'>): string {
  return `select * from ${ownRows({ schema, table, partitioned })} limit 0`;
}

function sameColumns({ oid }: LockedTable, { columns }: Seen, now: readonly ResultColumn[]): boolean {
  return (
    columns.length === now.length &&
    columns.every(({ number, name, type, modifier }, position) => {
      const column = now[position];
      return (
        column !== undefined &&
        column.table === oid &&
        column.number === number &&
        column.name === name &&
        (type === null || (Number(type) === column.type && modifier === column.modifier))
      );
    })
  );
}

/**
 * The same locks for a second session with the same snapshot. Equal is what the first session found equal: its locks last until its
 * transaction ends, which is after everything was read here. This session's own come before it is asked for anything: queued
 * behind DDL that waits for the first session, it would wait for ever, since the first waits for these rows.
 *
 * @returns whether it has them; if not, its transaction is over
 */
export async function lockBeside(ahead: Connection, tables: readonly LockedTable[]): Promise<boolean> {
  try {
    await ahead.resultColumns(inOrder(tables).map(lookAt));
    return true;
  } catch (error) {
    if (!isLockTimeout(asBucardoError(error))) throw error;
    await ahead.script('rollback');
    return false;
  }
}

/**
 * $1 names of tables in schema bucardo. Those whose file is not the one that the snapshot knows: `apply` rewrote or replaced them, and
 * deltas that the snapshot covers do not show. Right only for tables that the transaction has read before: these are locked.
 */
const REWRITTEN = `
  select d.relname::text as name
  from pg_class d
  where d.relnamespace = to_regnamespace('bucardo') and d.relname = any($1) and d.relkind = 'r'
    and d.relfilenode is distinct from pg_relation_filenode(d.oid)`;

/** @param source in the transaction in which pending deltas were looked for, after that */
export async function rewrittenDeltas(
  source: Connection,
  deltaNames: readonly string[],
): Promise<readonly string[]> {
  const rows = await source.rowsPrepared<{ name: string }>(REWRITTEN, [deltaNames]);
  return rows.map(({ name }) => name);
}

/**
 * $1 schema names, $2 table names, pairwise. One row per table that is there. Takes no locks on it.
 */
const KINDS = `
  select w.schema_name as schema, w.table_name as table, c.relkind = 'p' as partitioned
  from unnest($1::text[], $2::text[]) as w(schema_name, table_name)
  join pg_namespace n on n.nspname = w.schema_name
  join pg_class c on c.relnamespace = n.oid and c.relname = w.table_name and c.relkind in ('r', 'p')`;

/**
 * Which of the tables cannot be read now, each tried alone in a transaction of its own. By display name; empty if what was in the
 * way has gone. Tables that are not there are left out.
 */
export async function findUnreadable(
  source: Connection,
  tables: readonly RelationName[],
): Promise<ReadonlyMap<string, BucardoError>> {
  const there = await source.rows<Omit<LockedTable, 'oid'>>(KINDS, [
    tables.map(({ schema }) => schema),
    tables.map(({ table }) => table),
  ]);
  const unreadable = new Map<string, BucardoError>();
  for (const table of there) {
    const relation = displayRelation(table);
    const concern = { database: source.database, relation };
    try {
      await source.transaction('read committed', () => source.script(lookAt(table)), SHORT_LOCK_WAIT);
    } catch (thrown) {
      const error = asBucardoError(thrown);
      if (isLockTimeout(error))
        unreadable.set(relation, new BucardoError('BUC-TABLE-LOCKED', { ...concern, cause: error }));
      else if (scopeOf(error) === 'relation') unreadable.set(relation, error.with(concern));
      else throw error;
    }
  }
  return unreadable;
}

/** So often locks may come and go while tables are described. */
const MOST_LOOKS = 5;

/** Descriptions of the tables that can be read now, by display name, and why the others cannot. */
export async function describeUnlocked(
  source: Connection,
  relations: readonly RelationName[],
): Promise<{
  readonly tables: ReadonlyMap<string, Table>;
  readonly unreadable: ReadonlyMap<string, BucardoError>;
}> {
  const unreadable = new Map<string, BucardoError>();
  for (let look = 1; ; look += 1) {
    const rest = relations.filter((relation) => !unreadable.has(displayRelation(relation)));
    try {
      const tables = await source.transaction(
        'repeatable read read only',
        () => describeTables(source, rest),
        SHORT_LOCK_WAIT,
      );
      return { tables, unreadable };
    } catch (error) {
      if (look === MOST_LOOKS || !isLockTimeout(asBucardoError(error))) throw error;
      for (const [name, problem] of await findUnreadable(source, rest)) unreadable.set(name, problem);
    }
  }
}

export function isLockTimeout(error: BucardoError): boolean {
  return error.sqlstate === '55P03';
}
