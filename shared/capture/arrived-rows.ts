/**
 * Whether a partition brought rows with it. Rows that were in a table when it was attached went through no trigger, while rows that were
 * written afterwards did, and both look alike but for the transaction (`xmin`) and the command (`cmin`) that wrote them.
 *
 * One case cannot be told: rows that were loaded within a savepoint of the very transaction that attached the table.
 */
import { asBucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import type { PartitionState } from './capture-state.ts';

/**
 * $1 and $2 transaction and command of the row in pg_inherits. `age` compares within half the circle of 32-bit ids: what is frozen
 * for longer has an age outside of the window and so counts as older. A row that somebody locked or tried to change since (`xmax`)
 * may have lost its command, and counts as older too if the transaction is the same.
 */
function olderRowsSql(from: string, condition: string): string {
  return `
    select exists (
      select from ${from}
      where ${condition} and not (age(xmin) between 0 and age($1::text::xid)
        and (age(xmin) < age($1::text::xid) or xmax = '0'::xid and cmin::text::int8 >= $2::text::int8))
    ) as older`;
}

/**
 * True also if it cannot be found out in time. Reads rows under ACCESS SHARE. A role without a right on the partition itself asks
 * through the partitioned table.
 */
export async function broughtRows(
  db: Connection,
  root: RelationName,
  partition: PartitionState,
  patienceMs: number,
): Promise<boolean> {
  const { oid, attachedBy } = partition;
  try {
    return await db.transaction('read committed', async () => {
      await db.script(`set local statement_timeout = ${patienceMs}; set local lock_timeout = ${patienceMs}`);
      const { direct } = await db.row<{ direct: boolean }>(
        `select coalesce(has_table_privilege($1::oid, 'select'), false)
           and coalesce(has_schema_privilege((select relnamespace from pg_class where oid = $1::oid), 'usage'), false) as direct`,
        [oid],
      );
      const sql = direct
        ? olderRowsSql(`only ${quoteRelation(partition)}`, `tableoid = ${oid}`)
        : olderRowsSql(quoteRelation(root), `tableoid = ${oid}`);
      const { older } = await db.row<{ older: boolean }>(sql, [attachedBy.transaction, attachedBy.command]);
      return older;
    });
  } catch (error) {
    // A broken connection says nothing, and nobody goes on with it.
    if (asBucardoError(error).code === 'BUC-DB-UNREACHABLE') throw error;
    return true;
  }
}
