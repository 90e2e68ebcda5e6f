/**
 * Which database the control tables belong to. Transaction ids, oids and marks mean something in one database of one cluster
 * only: a dump that was restored, a copy made from a template and an upgraded cluster have the same tables, but are other places.
 * A renamed database keeps its oid and is the same place.
 */
import { asBucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';

export interface SourceIdentity {
  /** Cluster and database: `7391872912345/16384`. */
  readonly place: string;
  /**
   * Raised when a standby is promoted or a server is restored to a point in time. Undefined where it cannot be read, as on some
   * managed services.
   */
  readonly timeline: number | undefined;
}

const identities = new WeakMap<Connection, SourceIdentity>();

/** Asked once per session: a server that changes any of it ends its sessions. Not within a transaction, which a refusal would end. */
export async function readIdentity(db: Connection): Promise<SourceIdentity> {
  const known = identities.get(db);
  if (known !== undefined) return known;
  const { place } = await db.row<{ place: string }>(
    `select format('%s/%s', (pg_control_system()).system_identifier, ${DATABASE_OID}) as place`,
  );
  const identity = { place, timeline: await readTimeline(db) };
  identities.set(db, identity);
  return identity;
}

async function readTimeline(db: Connection): Promise<number | undefined> {
  try {
    const { timeline } = await db.row<{ timeline: string }>(
      `select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline`,
    );
    return Number.parseInt(timeline, 16);
  } catch (error) {
    if (asBucardoError(error).code === 'BUC-DB-UNREACHABLE') throw error;
    return undefined;
  }
}

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
