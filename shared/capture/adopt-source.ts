/**
 * A source that was restored from a dump, copied from a template or upgraded lives in another place: transaction ids of the old
 * one mean nothing there, and might be ahead of the new one's for years, out of every mark's sight; oids are others too. So all
 * deltas get an id of now, all marks are forgotten, registered tables are found again by their names, and every table of
 * every lane is reported as needing a copy, since the destinations may have rows that the restored source never had.
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteDelta } from './capture-sql.ts';
import { withCaptureLock } from './capture-lock.ts';
import { IDENTITIES_SQL } from './delta-guard.ts';
import { type InstalledRelation, readInstalled } from './installed.ts';
import { DATABASE_OID } from './source-identity.ts';

/**
 * One transaction. Truncations of one relation fall together under one id, hence a new row for each relation instead of an
 * update. Deltas of a transaction that commits meanwhile have ids of this place already. A table that is missing has no oid; a
 * delta table that is missing is left to `apply`.
 */
export function adoptionSql(
  relations: readonly Pick<InstalledRelation, 'deltaName' | 'deltaColumns'>[],
): readonly string[] {
  const present = relations.filter(({ deltaColumns }) => deltaColumns !== undefined);
  return [
    IDENTITIES_SQL,
    ...present.map(({ deltaName }) => `update ${quoteDelta(deltaName)} set txid = txid_current()`),
    `with gone as (delete from bucardo.truncation returning schema_name, table_name, txntime, reason)
insert into bucardo.truncation (schema_name, table_name, txid, txntime, reason)
  select schema_name, table_name, txid_current(), max(txntime), min(reason) from gone group by schema_name, table_name
  on conflict do nothing`,
    `update bucardo.relation r set table_oid = (
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where (n.nspname, c.relname) = (r.schema_name, r.table_name) and c.relkind in ('r', 'p'))`,
    `update bucardo.relation set purged_txid = null`,
    `delete from bucardo.last_copy`,
    `update bucardo.progress set mark = null, writes = null, timeline = null, updated_at = clock_timestamp(),
  system_identifier = (select system_identifier from pg_control_system())`,
    `update bucardo.held_relation set mark = null`,
    `delete from bucardo.purge_mark`,
    `delete from bucardo.large_transaction`,
    `insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select p.sync, p.destination, s.schema_name, s.table_name, 'restored'
  from bucardo.progress p join bucardo.sync_relation s using (sync)
  on conflict do nothing`,
    `update bucardo.origin set database_oid = ${DATABASE_OID},
  system_identifier = (select system_identifier from pg_control_system())`,
  ];
}

/**
 * Makes a source at home in the place where it is now; does nothing if it is. Two callers at once do it once.
 *
 * @returns whether there was anything to do
 * @throws BUC-NOT-APPLIED
 */
export async function adoptSource(db: Connection): Promise<boolean> {
  return await withCaptureLock(db, async () => {
    const { origin, relations } = await readInstalled(db);
    if (origin === undefined) throw new BucardoError('BUC-NOT-APPLIED', { database: db.database });
    if (origin.atHome) return false;
    await db.transaction('read committed', () => db.script(adoptionSql(relations).join(';\n')));
    return true;
  });
}
