/** What a process that runs one lane after the other holds at a database, as the database itself counts. */
import { afterEach, expect, test } from 'vitest';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { createDatabase } from '../support/database.ts';

let cache: ConnectionCache;

// After the fixtures' own hooks are registered, so before the databases go.
afterEach(() => cache.close());

test('idle connections of other lanes make way, and no database ever has more than it may', async () => {
  const database = await createDatabase('');
  const counter = await database.app();
  cache = new ConnectionCache({ mostPerDatabase: 2 });
  const counts: number[] = [];
  const count = async (): Promise<void> => {
    const { sessions } = await counter.row<{ sessions: number }>(
      `select count(*)::int as sessions from pg_stat_activity
       where datname = current_database() and application_name like 'bucardo lane%'`,
    );
    counts.push(sessions);
  };
  for (let run = 0; run < 12; run += 1) {
    const lane = { database: 'east', url: database.url, purpose: `lane orders/target_${run % 5}` };
    await cache.with(lane, async () => {
      await count();
      if (run % 3 === 0) await cache.with({ ...lane, purpose: `${lane.purpose} ahead` }, count);
    });
  }
  expect(Math.max(...counts)).toBe(2);
  expect(Math.min(...counts)).toBeGreaterThan(0);
});

test('without a bound every lane keeps its own warm connection', async () => {
  const database = await createDatabase('');
  cache = new ConnectionCache();
  const backends = new Set<number>();
  for (let run = 0; run < 9; run += 1) {
    await cache.with(
      { database: 'east', url: database.url, purpose: `lane orders/${run % 3}` },
      async (connection) => {
        const { pid } = await connection.row<{ pid: number }>('select pg_backend_pid() as pid');
        backends.add(pid);
      },
    );
  }
  expect(backends.size).toBe(3);
});
