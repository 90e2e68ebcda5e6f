/** Asks for a copy: the lane's next run brings the whole table over. */
import type { Connection } from '../postgres/connection.ts';
import type { RelationName } from '../postgres/identifiers.ts';

export interface CopyRequest {
  readonly sync: string;
  /** All of the sync's targets if left out. */
  readonly destination?: string | undefined;
  /** All of the sync's tables if left out. */
  readonly relation?: RelationName | undefined;
}

/**
 * A copy that is under way begins anew. Tables that are held are tried at once: those that refer to each other can only be emptied
 * together. Returns the lanes and tables that will be copied.
 */
export async function requestCopy(
  source: Connection,
  { sync, destination, relation }: CopyRequest,
): Promise<readonly { readonly destination: string; readonly schema: string; readonly table: string }[]> {
  return await source.rows(
    `with due as (
       update bucardo.held_relation set retry_at = clock_timestamp()
       where sync = $1 and destination = coalesce($2, destination)
         and schema_name = coalesce($3, schema_name) and table_name = coalesce($4, table_name)
     )
     insert into bucardo.copy as c (sync, destination, schema_name, table_name, policy, state)
     select p.sync, p.destination, s.schema_name, s.table_name, 'always', 'wanted'
     from bucardo.progress p
     join bucardo.sync_relation s using (sync)
     where p.sync = $1 and p.destination = coalesce($2, p.destination)
       and s.schema_name = coalesce($3, s.schema_name) and s.table_name = coalesce($4, s.table_name)
     on conflict (sync, destination, schema_name, table_name) do update set
       policy = 'always', state = 'wanted', done_to = null, chunk_to = null, chunk_open = false,
       rows_copied = 0, started_at = null, updated_at = clock_timestamp()
     returning destination, schema_name as schema, table_name as table`,
    [sync, destination, relation?.schema, relation?.table],
  );
}
