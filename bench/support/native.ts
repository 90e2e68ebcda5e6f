/** Postgres's own logical replication, the rival: one publication and one subscription without a first copy. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchDatabases } from './databases.ts';

/** Whether large transactions travel before they are committed. `parallel` is the default from Postgres 18 on. */
export type Streaming = 'off' | 'parallel';

export async function subscribe(
  { source, target, servers }: BenchDatabases,
  table: string,
  streaming: Streaming,
): Promise<void> {
  await source.script(`create publication native for table ${table}`);
  await target.script(
    `create subscription native connection 'host=127.0.0.1 port=${servers.source.port} user=postgres dbname=postgres'
     publication native with (copy_data = false, streaming = ${streaming})`,
  );
  await untilCaughtUp({ source });
}

/** Resolves when the target has confirmed all that is in the source's log now. Returns the seconds that it took. */
export async function untilCaughtUp({ source }: Pick<BenchDatabases, 'source'>): Promise<number> {
  const startedAtMs = performance.now();
  const { lsn } = await source.row<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
  for (;;) {
    const [slot] = await source.rows<{ done: boolean }>(
      'select confirmed_flush_lsn >= $1::pg_lsn as done from pg_replication_slots',
      [lsn],
    );
    if (slot?.done === true) return (performance.now() - startedAtMs) / 1000;
    await sleep(20);
  }
}

export async function unsubscribe({ source, target }: BenchDatabases): Promise<void> {
  await target.script('drop subscription if exists native');
  await source.script('drop publication if exists native');
}
