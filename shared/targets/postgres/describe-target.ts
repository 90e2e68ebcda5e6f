/**
 * Describes the target's tables without waiting for one that another session keeps for itself: that one has an error instead of a
 * description, so its relation is held and the others go on. Describing opens each table, partitions included, to see its size.
 */
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import { describeTables, type Table } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import { displayRelation, type RelationName } from '../../postgres/identifiers.ts';

/** Longer than DDL takes that rewrites nothing. The source's snapshot is open meanwhile. */
const LOCK_WAIT = `set local lock_timeout = '2s'`;

/** So often locks may come and go meanwhile. */
const MOST_LOOKS = 4;

/**
 * $1 schema names, $2 table names, pairwise. Those which, or a partition of which, another session has or wants for itself: who
 * wants it already makes others wait. Takes no locks on them.
 */
const LOCKED = `
  select w.schema_name as schema, w.table_name as table
  from unnest($1::text[], $2::text[]) as w(schema_name, table_name)
  join pg_namespace n on n.nspname = w.schema_name
  join pg_class c on c.relnamespace = n.oid and c.relname = w.table_name
  where exists (
    select from pg_locks l
    where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.pid <> pg_backend_pid()
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and (l.relation = c.oid or c.oid in (select relid from pg_partition_ancestors(l.relation)))
  )`;

/** By display name; tables that are not there are left out. */
export async function describeTarget(
  db: Connection,
  relations: readonly RelationName[],
): Promise<ReadonlyMap<string, Table | BucardoError>> {
  const locked = new Map<string, BucardoError>();
  for (let look = 1; ; look += 1) {
    const rest = relations.filter((relation) => !locked.has(displayRelation(relation)));
    try {
      const tables = await db.transaction('read committed', () => describeTables(db, rest), LOCK_WAIT);
      return new Map<string, Table | BucardoError>([...tables, ...locked]);
    } catch (thrown) {
      const error = asBucardoError(thrown);
      if (error.sqlstate !== '55P03' || look === MOST_LOOKS) throw error;
      for (const relation of await findLocked(db, rest))
        locked.set(relation, lockedError(db, relation, error));
    }
  }
}

async function findLocked(db: Connection, relations: readonly RelationName[]): Promise<readonly string[]> {
  const names = [relations.map(({ schema }) => schema), relations.map(({ table }) => table)];
  return (await db.rows<RelationName>(LOCKED, names)).map(displayRelation);
}

function lockedError(db: Connection, relation: string, cause: BucardoError): BucardoError {
  const detail = 'another session has or wants the table for itself, SQLSTATE 55P03';
  return new BucardoError('BUC-DB-LOCKED', {
    database: db.database,
    relation,
    detail,
    sqlstate: '55P03',
    cause,
  });
}
