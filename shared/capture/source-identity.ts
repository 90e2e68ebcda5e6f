/**
 * Which database the control tables belong to. Transaction ids, oids and marks mean something in one database of one cluster
 * only: a dump that was restored, a copy made from a template and an upgraded cluster have the same tables, but are other places.
 * A renamed database keeps its oid and is the same place.
 */

/** One value: the oid of the database that the session is in. */
export const DATABASE_OID = `(select d.oid from pg_database d where d.datname = current_database())`;

/**
 * A condition: the control tables are where they were made or adopted. Those of an earlier version have no database's oid, and are
 * then told apart by the cluster alone.
 */
export const AT_HOME = `not exists (
  select from bucardo.origin o, pg_control_system() c
  where o.system_identifier <> c.system_identifier or (to_jsonb(o) ->> 'database_oid')::oid <> ${DATABASE_OID}
)`;

/**
 * A condition on a row of `bucardo.progress`: its mark means something here.
 *
 * @param progress the row's alias
 */
export function markIsFromHere(progress: string): string {
  return `(${progress}.system_identifier = (pg_control_system()).system_identifier and ${AT_HOME})`;
}
