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

/** How long a run waits for another one of the same lane to end before its kick goes back to the queue. */
const LOCK_WAIT = '5s';

/** Keys and rows on their way are staged in memory as far as this goes; the server's default is 8 MB. */
const STAGE_BUFFERS = '64MB';

/** @throws BUC-LANE-BUSY if another run holds the lane */
export async function withPostgresDestination<Result>(
  connections: ConnectionCache,
  options: ConnectOptions,
  lane: Lane,
  body: (destination: Destination) => Promise<Result>,
): Promise<Result> {
  const key = lockKey(lane);
  const session = { ...options, onConnect: beSilent, onUse: (db: Connection) => takeLock(db, lane, key) };
  return await connections.with(session, async (db) => {
    const { replica_role, pid } = await db.row<{ replica_role: boolean; pid: number }>(
      `select current_setting('session_replication_role') = 'replica' as replica_role, pg_backend_pid() as pid`,
    );
    const result = await body(new PostgresDestination(db, replica_role, pid));
    // Without success the session is closed, which gives the lock back too.
    await db.script(`select pg_advisory_unlock(${key})`);
    return result;
  });
}

async function takeLock(db: Connection, lane: Lane, key: bigint): Promise<void> {
  try {
    await db.script(
      `set lock_timeout = '${LOCK_WAIT}'; select pg_advisory_lock(${key}); set lock_timeout = 0`,
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
 * Makes the session's writes silent: not captured again here, and without triggers and foreign-key checks if the role may
 * say so.
 */
async function beSilent(db: Connection): Promise<void> {
  await db.script(`set bucardo.applying = 'on'; set temp_buffers = '${STAGE_BUFFERS}'`);
  try {
    await db.script(`set session_replication_role = replica`);
  } catch (error) {
    if (asBucardoError(error).sqlstate !== '42501') throw error;
  }
}
