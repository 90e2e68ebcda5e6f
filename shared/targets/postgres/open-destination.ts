/**
 * A lane's session at a Postgres destination. The session takes the lane's advisory lock before anything else and keeps it
 * until it ends, and every transaction of the run happens in it. So a run that was thought dead can commit only before, never
 * after, a newer run took its first snapshot: losing the session loses lock and transaction together.
 */
import { createHash } from 'node:crypto';
import type { Lane } from '../../config/types.ts';
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import type { Connection, ConnectOptions } from '../../postgres/connection.ts';
import type { ConnectionCache } from '../../replicate/connection-cache.ts';
import type { Destination } from '../target.ts';
import { PostgresDestination } from './postgres-destination.ts';
import type { Silence } from './write-settings.ts';

/** How long a run waits for another one of the same lane to end before its kick goes back to the queue. */
const LOCK_WAIT = '5s';

/** Keys and rows on their way are staged in memory as far as this goes; the server's default is 8 MB. */
const STAGE_BUFFERS = '64MB';

/** How silent each open session's writes can be. */
const silences = new WeakMap<Connection, Silence>();

/** @throws BUC-LANE-BUSY if another run holds the lane */
export async function withPostgresDestination<Result>(
  connections: ConnectionCache,
  options: ConnectOptions,
  lane: Lane,
  body: (destination: Destination) => Promise<Result>,
): Promise<Result> {
  const key = lockKey(lane);
  const session = { ...options, onConnect: prepare, onUse: (db: Connection) => takeLock(db, lane, key) };
  return await connections.with(session, async (db) => {
    const silence = silences.get(db) ?? 'none';
    const result = await body(new PostgresDestination(db, lane.id, silence));
    // Without success the session is closed, which gives the lock back too.
    await db.script(`select pg_catalog.pg_advisory_unlock(${key})`);
    return result;
  });
}

async function takeLock(db: Connection, lane: Lane, key: bigint): Promise<void> {
  try {
    await db.script(
      `begin; set local lock_timeout = '${LOCK_WAIT}'; select pg_catalog.pg_advisory_lock(${key}); commit`,
    );
  } catch (error) {
    const known = asBucardoError(error);
    if (known.sqlstate !== '55P03') throw known;
    throw new BucardoError('BUC-LANE-BUSY', { sync: lane.sync, database: lane.destination, cause: error });
  }
}

/** The same lane of two fleets shares a lock, which costs a little waiting and harms nothing. */
function lockKey({ id }: Lane): bigint {
  return createHash('sha256').update(`bucardo lane ${id}`).digest().readBigInt64BE();
}

/**
 * Finds out how silent the session's writes can be. Each transaction that writes says so itself. A session that is nobody else's says so
 * too: whenever the role changes the server forgets all plans of the session, and planning them anew takes 10 ms a run.
 */
async function prepare(db: Connection): Promise<void> {
  const silence = await readSilence(db);
  silences.set(db, silence);
  if (db.pooled) return;
  // Buffers of a session stay as they are once a temporary table was used, so they are nothing for a pooler's session either.
  await db.configure({
    temp_buffers: STAGE_BUFFERS,
    ...(silence === 'replica role' ? { session_replication_role: 'replica' } : {}),
  });
}

/** Since Postgres 15 the right may also be granted, so the only way to know on all versions is to try. */
async function readSilence(db: Connection): Promise<Silence> {
  try {
    await db.script('begin; set local session_replication_role = replica; commit');
    return 'replica role';
  } catch (error) {
    if (asBucardoError(error).sqlstate !== '42501') throw error;
    await db.script('rollback');
  }
  // A superuser may have set it for the role, which then cannot change it.
  const { given } = await db.row<{ given: boolean }>(
    `select current_setting('session_replication_role') = 'replica' as given`,
  );
  return given ? 'replica role by default' : 'none';
}
