/** Takes note that somebody has judged the rows that a target had before the first copy: the lane's status then no longer tells of them. */
import type { Connection } from '../postgres/connection.ts';
import type { CopyRequest } from './request-copy.ts';

/** Returns the lanes and tables that were told as not copied. */
export async function acceptRows(
  source: Connection,
  { sync, destination, relation }: CopyRequest,
): Promise<readonly { readonly destination: string; readonly schema: string; readonly table: string }[]> {
  return await source.rows(
    `delete from bucardo.copy_skipped
     where sync = $1 and destination = coalesce($2, destination)
       and schema_name = coalesce($3, schema_name) and table_name = coalesce($4, table_name)
     returning destination, schema_name as schema, table_name as table`,
    [sync, destination, relation?.schema, relation?.table],
  );
}
