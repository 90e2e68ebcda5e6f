/**
 * Makes parked rows pending again, by deltas with the rows' own versions: what was changed before is not newer now, and has
 * been waiting since then. They stay parked until a run applies them.
 */
import { quoteDelta } from '../capture/capture-sql.ts';
import { deltaColumnNames } from '../capture/key-column.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier, type RelationName } from '../postgres/identifiers.ts';

/** Which parked rows are meant. What is left out matches all. */
export interface ParkedFilter {
  readonly sync: string;
  readonly destination?: string | undefined;
  readonly relation?: RelationName | undefined;
  readonly sqlstates?: readonly string[] | undefined;
  /** `rejected_row.key_hash` */
  readonly keyHashes?: readonly Buffer[] | undefined;
}

/** Refused because of other rows: a foreign key, a unique value, an exclusion. These may get in when others have moved. */
export const BECAUSE_OF_OTHER_ROWS: readonly string[] = ['23503', '23505', '23P01'];

/** Of `bucardo.rejected_row r`. $1 to $6 as `parkedValues` gives them. */
export const PARKED = `r.sync = $1 and r.destination = coalesce($2, r.destination)
  and r.schema_name = coalesce($3, r.schema_name) and r.table_name = coalesce($4, r.table_name)
  and ($5::text[] is null or r.sqlstate = any($5::text[]))
  and ($6::bytea[] is null or r.key_hash = any($6::bytea[]))`;

export function parkedValues(filter: ParkedFilter): readonly unknown[] {
  const { sync, destination, relation, sqlstates, keyHashes } = filter;
  return [sync, destination, relation?.schema, relation?.table, sqlstates, keyHashes];
}

/** Returns how many rows. @param source in a transaction */
export async function pendParked(source: Connection, filter: ParkedFilter): Promise<number> {
  // One row a table that has such rows; takes no locks.
  const relations = await source.rows<RelationName & { deltaName: string; keyColumns: string[] }>(
    `select n.schema_name as schema, n.table_name as table, n.delta_name as "deltaName", n.key_columns as "keyColumns"
     from bucardo.relation n
     where exists (
       select from bucardo.rejected_row r
       where ${PARKED} and (r.schema_name, r.table_name) = (n.schema_name, n.table_name))`,
    parkedValues(filter),
  );
  let rows = 0;
  for (const { schema, table, deltaName, keyColumns } of relations) {
    const names = deltaColumnNames(keyColumns).map(quoteIdentifier).join(', ');
    const keys = keyColumns.map((_, index) => `r.key[${index + 1}]`).join(', ');
    rows += await source.run(
      `insert into ${quoteDelta(deltaName)} (${names}, txntime, author)
       select ${keys}, max(r.txntime), (array_agg(r.author order by r.txntime desc, r.author desc nulls last))[1]
       from bucardo.rejected_row r where ${PARKED} group by r.key`,
      parkedValues({ ...filter, relation: { schema, table } }),
    );
  }
  return rows;
}
