/**
 * A source restored from a dump lives in another cluster: transaction ids of the old one mean nothing there, and might be
 * ahead of the new one's for years, out of every mark's sight. So all deltas get an id of now, all marks are forgotten,
 * and every table of every lane is reported as needing a copy, since the destinations may have rows that the restored source never had.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteDelta } from './capture-sql.ts';
import { withCaptureLock } from './capture-lock.ts';
import { readInstalled } from './installed.ts';

/**
 * One transaction. Truncations of one relation fall together under one id, hence a new row for each relation instead of an
 * update. Deltas of a transaction that commits meanwhile have ids of this cluster already.
 */
export function adoptionSql(relations: readonly { readonly deltaName: string }[]): readonly string[] {
  return [
    ...relations.map(({ deltaName }) => `update ${quoteDelta(deltaName)} set txid = txid_current()`),
    `with gone as (delete from bucardo.truncation returning schema_name, table_name, txntime)
insert into bucardo.truncation (schema_name, table_name, txid, txntime)
  select schema_name, table_name, txid_current(), max(txntime) from gone group by schema_name, table_name
  on conflict do nothing`,
    `update bucardo.progress set mark = null, updated_at = clock_timestamp(),
  system_identifier = (select system_identifier from pg_control_system())`,
    `update bucardo.held_relation set mark = null`,
    `delete from bucardo.purge_mark`,
    `insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select p.sync, p.destination, s.schema_name, s.table_name, 'restored'
  from bucardo.progress p join bucardo.sync_relation s using (sync)
  on conflict do nothing`,
    `update bucardo.origin set system_identifier = (select system_identifier from pg_control_system())`,
  ];
}

/**
 * Makes a source at home in the cluster it is in now; does nothing if it is. Two callers at once do it once.
 *
 * @returns whether there was anything to do
 * @throws BUC-NOT-APPLIED
 */
export async function adoptCluster(db: Connection): Promise<boolean> {
  return await withCaptureLock(db, async () => {
    const { origin, systemIdentifier, relations } = await readInstalled(db);
    if (origin === undefined) throw new BucardoError('BUC-NOT-APPLIED', { database: db.database });
    if (origin.systemIdentifier === systemIdentifier) return false;
    const present = relations.filter(({ deltaColumns }) => deltaColumns !== undefined);
    await db.transaction('read committed', () => db.script(adoptionSql(present).join(';\n')));
    return true;
  });
}
