/**
 * The armed flag on a source: sequence `bucardo.wake`, 1 armed and 0 disarmed. Sequences are read and set outside of
 * transactions, so a writer sees the flag as it is now, whatever its isolation level and however old its snapshot.
 */
import { WAKE_CHANNEL } from '../shared/capture/control-schema.ts';
import type { Wake } from '../shared/config/types.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import type { Txid } from '../shared/postgres/snapshot.ts';

/**
 * How changes of this server become known for the life of the connection: the setting that decides it for `auto` changes with a
 * restart only. The triggers look at the same setting, each time that they would notify.
 */
export async function readWake(db: Connection, wake: Wake): Promise<'notify' | 'poll'> {
  if (wake !== 'auto') return wake;
  const { prepared } = await db.row<{ prepared: boolean }>(
    `select current_setting('max_prepared_transactions') <> '0' as prepared`,
  );
  return prepared ? 'poll' : 'notify';
}

/**
 * Sets the flag, then draws the barrier: an id above that of every transaction that may have read "disarmed". Two
 * statements, each its own transaction: within one, `setval` would have drawn the id before it set the flag.
 */
export async function arm(db: Connection): Promise<Txid> {
  await db.script(`select setval('bucardo.wake', 1)`);
  const { barrier } = await db.row<{ barrier: string }>(`select txid_current()::text as barrier`);
  return BigInt(barrier);
}

export async function disarm(db: Connection): Promise<void> {
  await db.script(`select setval('bucardo.wake', 0)`);
}

/**
 * Leaves the source disarmed, so that its writers pay for no NOTIFY that nobody hears; the next notifier kicks everything
 * when it connects. One that runs already (its replacement, say) believes the flag armed: the notification makes it look and arm again.
 */
export async function disarmForGood(db: Connection): Promise<void> {
  await db.script(`select setval('bucardo.wake', 0); select pg_notify('${WAKE_CHANNEL}', 'wake')`);
}
