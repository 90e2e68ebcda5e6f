/** Making and removing `bucardo.lane`, as the role that the lanes have. @see lane-row.ts */
import { BucardoError } from '../../errors/bucardo-error.ts';
import type { Connection } from '../../postgres/connection.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { findLaneTable, LANE_TABLE, LANE_TABLE_RIGHTS } from './lane-row.ts';

/**
 * Returns whether it had to be made.
 * @throws BUC-DB-RIGHTS with the statements that somebody else has to run
 */
export async function createLaneTable(db: Connection): Promise<boolean> {
  const found = await findLaneTable(db);
  if (found === 'usable') return false;
  const { role, there, mayCreate } = await db.row<{ role: string; there: boolean; mayCreate: boolean }>(
    `select current_user::text as role, n.oid is not null as there,
       case when n.oid is null then has_database_privilege(current_database(), 'create')
       else has_schema_privilege(n.oid, 'create') and has_schema_privilege(n.oid, 'usage') end as "mayCreate"
     from (select) one left join pg_namespace n on n.nspname = 'bucardo'`,
  );
  if (found === 'forbidden' || !mayCreate) {
    throw new BucardoError('BUC-DB-RIGHTS', {
      database: db.database,
      detail: `the table bucardo.lane; run as a role that may: ${laneTableScript(role)}`,
    });
  }
  // Only the first statement needs a right on the database, whether the schema is there or not.
  const statements = there ? LANE_TABLE.slice(1) : LANE_TABLE;
  await db.transaction('read committed', () => db.script(statements.join(';')));
  return true;
}

/** For a person with the rights: the table, and what the lanes' role needs of it. */
export function laneTableScript(role: string): string {
  const grantee = quoteIdentifier(role);
  return [
    ...LANE_TABLE.map((statement) => statement.replaceAll(/\s+/g, ' ')),
    `grant usage on schema bucardo to ${grantee}`,
    `grant ${LANE_TABLE_RIGHTS.join(', ')}, delete on bucardo.lane to ${grantee}`,
    '',
  ]
    .join('; ')
    .trim();
}

/**
 * Takes away the rows of these lanes, then the table if it has no others, then the schema if nothing else is in it. Returns
 * whether there was anything.
 *
 * @throws BUC-DB-RIGHTS if an empty table is left that belongs to another role
 */
export async function removeLaneRows(
  db: Connection,
  lanes: readonly string[],
  places: readonly string[],
): Promise<boolean> {
  if ((await findLaneTable(db)) === 'absent') return false;
  await db.run(`delete from bucardo.lane where lane = any($1) and source = any($2)`, [lanes, places]);
  const { others } = await db.row<{ others: boolean }>(`select exists (select from bucardo.lane) as others`);
  if (others) return true;
  await db.script(`set lock_timeout = '5s'; drop table bucardo.lane`);
  const { empty } = await db.row<{ empty: boolean }>(
    `select not exists (select from pg_class where relnamespace = 'bucardo'::regnamespace)
       and not exists (select from pg_proc where pronamespace = 'bucardo'::regnamespace)
       and pg_has_role(n.nspowner, 'usage') as empty
     from pg_namespace n where n.nspname = 'bucardo'`,
  );
  if (empty) await db.script('drop schema bucardo restrict');
  return true;
}
