/** Which deltas a destination cannot get any more that goes back in time. */
import type { Connection } from '../postgres/connection.ts';
import type { RelationName } from '../postgres/identifiers.ts';
import { formatSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import { quoteDelta } from './capture-sql.ts';

/**
 * Remembers the greatest id among the deltas and truncations that are about to be deleted. To be committed before the first of
 * them is. Reads one end of an index.
 */
export async function notePurged(
  db: Connection,
  { schema, table, deltaName }: RelationName & { readonly deltaName: string },
  covered: Snapshot,
): Promise<void> {
  const visible = `txid < ${covered.xmax} and txid_visible_in_snapshot(txid, $1)`;
  await db.run(
    `with last as (
       select greatest(
         (select max(txid) from ${quoteDelta(deltaName)} where ${visible}),
         (select max(txid) from bucardo.truncation where (schema_name, table_name) = ($2, $3) and ${visible})
       ) as txid
     )
     update bucardo.relation r set purged_txid = last.txid from last
     where (r.schema_name, r.table_name) = ($2, $3) and last.txid > coalesce(r.purged_txid, 0)`,
    [formatSnapshot(covered), schema, table],
  );
}
