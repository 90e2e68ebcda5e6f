/** What one server says about itself and about our session with it. Reads only; nothing is locked or left behind. */
import { DATABASE_OID } from '../capture/source-identity.ts';
import type { Connection } from '../postgres/connection.ts';
import { findLaneTable, type LaneTable } from '../targets/postgres/lane-row.ts';
import { asBucardoError } from '../errors/bucardo-error.ts';

export interface ServerFacts {
  /** `server_version_num`, for example 150018. */
  readonly version: number;
  readonly role: string;
  /** The name on the server. */
  readonly databaseName: string;
  readonly tls: boolean;
  /** The server is on this machine, so nothing travels over a network. */
  readonly local: boolean;
  readonly readOnly: 'no' | 'standby' | 'setting';
  readonly encoding: string;
  /** Default collation of the database: provider's name for it. */
  readonly collation: string;
  /** The sessions' default, not what ours was set to. */
  readonly synchronousCommit: string;
  /** Who has the replica role by default in this database: roles' names; `all roles` where it is set for all. */
  readonly replicaByDefault: readonly string[];
  readonly mayCreateTemporary: boolean;
  /** May read the cluster's identity, by which a restored source is recognized. */
  readonly mayReadControl: boolean;
  /** max_prepared_transactions. */
  readonly preparable: number;
  /** Transactions of this database that are prepared and not ended, and the age of the oldest. */
  readonly prepared: { readonly count: number; readonly oldestSeconds: number };
  /**
   * Equal for sessions of one database only: a copy of a whole cluster has its identifier and its oids, but is another server, and
   * no two were started in the same microsecond.
   */
  readonly identity: string;
  readonly mayBeReplica: boolean;
  /** The table of lanes' rows, which a target should have. */
  readonly laneTable: LaneTable;
  /** May create that table. */
  readonly mayCreateLaneTable: boolean;
  readonly clock: Clock;
}

export interface Clock {
  /** How much later it is there than here; measured at half the round trip. */
  readonly aheadSeconds: number;
  /** Half the round trip: the measurement may be off by so much. */
  readonly uncertainSeconds: number;
}

/** One row. `reset_val` is what a session starts with, whatever ours has set since. */
const READ_SERVER = `
  select current_user::text as role,
    current_database()::text as "databaseName",
    coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as tls,
    coalesce(inet_server_addr() <<= inet '127.0.0.0/8' or inet_server_addr() = inet '::1', true) as local,
    case
      when pg_is_in_recovery() then 'standby'
      when (select s.reset_val from pg_settings s where s.name = 'default_transaction_read_only') = 'on' then 'setting'
      else 'no'
    end as "readOnly",
    current_setting('server_encoding') as encoding,
    (select d.datcollate from pg_database d where d.datname = current_database())::text as collation,
    (select s.reset_val from pg_settings s where s.name = 'synchronous_commit') as "synchronousCommit",
    array(
      select coalesce(r.rolname::text, 'all roles') from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
      where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
        and 'session_replication_role=replica' = any(s.setconfig)
      order by 1
    ) as "replicaByDefault",
    has_database_privilege(current_database(), 'temporary') as "mayCreateTemporary",
    format('%s %s', ${DATABASE_OID}, pg_postmaster_start_time()) as identity,
    coalesce(has_schema_privilege(to_regnamespace('bucardo'), 'create'),
      has_database_privilege(current_database(), 'create')) as "mayCreateLaneTable",
    has_function_privilege('pg_control_system()', 'execute') as "mayReadControl",
    current_setting('max_prepared_transactions')::int as preparable,
    (
      select json_build_object('count', count(*),
        'oldestSeconds', coalesce(extract(epoch from clock_timestamp() - min(x.prepared)), 0)::float8)
      from pg_prepared_xacts x where x.database = current_database()
    ) as prepared`;

type ServerRow = Omit<ServerFacts, 'version' | 'mayBeReplica' | 'laneTable' | 'clock'>;

export async function readServer(db: Connection): Promise<ServerFacts> {
  const row = await db.row<ServerRow>(READ_SERVER);
  return {
    ...row,
    version: db.serverVersion,
    mayBeReplica: await tryReplicaRole(db),
    laneTable: await findLaneTable(db),
    clock: await readClock(db),
  };
}

/** Since Postgres 15 the right may also be granted, so the only way to know on all versions is to try. */
async function tryReplicaRole(db: Connection): Promise<boolean> {
  await db.script('begin');
  try {
    await db.script('set local session_replication_role = replica');
    return true;
  } catch (error) {
    if (asBucardoError(error).sqlstate !== '42501') throw error;
    return false;
  } finally {
    await db.script('rollback').catch(() => {});
  }
}

/** Of three looks the one with the shortest round trip is the most exact. */
async function readClock(db: Connection): Promise<Clock> {
  const looks: Clock[] = [];
  for (let look = 0; look < 3; look += 1) {
    const askedAtMs = performance.timeOrigin + performance.now();
    const { seconds } = await db.row<{ seconds: number }>(
      `select extract(epoch from clock_timestamp())::float8 as seconds`,
    );
    const answeredAtMs = performance.timeOrigin + performance.now();
    looks.push(clockOf(askedAtMs / 1000, seconds, answeredAtMs / 1000));
  }
  return looks.reduce((best, next) => (next.uncertainSeconds < best.uncertainSeconds ? next : best));
}

/** All in seconds since 1970. The server read its clock somewhere between question and answer. */
export function clockOf(askedAt: number, thereAt: number, answeredAt: number): Clock {
  return {
    aheadSeconds: thereAt - (askedAt + answeredAt) / 2,
    uncertainSeconds: (answeredAt - askedAt) / 2,
  };
}
