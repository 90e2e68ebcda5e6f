/** A lane's run in this process by way of a proxy, with something done before exact statements of it. */
import { onTestFinished } from 'vitest';
import { withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import type { LaneRunOutcome } from '../../shared/replicate/lane-run.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { type LaneFixture, SOURCE } from './lane-fixture.ts';
import { type Asked, type Decision, type PostgresProxy, startPostgresProxy } from './postgres-proxy.ts';
import { waitFor } from './wait-for.ts';

export interface InterruptedRuns {
  readonly proxy: PostgresProxy;
  /** Runs the lane; `before` is called for everything that is asked, and awaited before it goes on. */
  readonly run: (before: (asked: Asked) => Promise<void> | void) => Promise<LaneRunOutcome>;
}

export async function interruptedRuns(lane: LaneFixture): Promise<InterruptedRuns> {
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  onTestFinished(() => proxy.close());
  return {
    proxy,
    run: async (before) => {
      proxy.forget();
      proxy.decide = async (asked): Promise<Decision> => {
        await before(asked);
        return 'pass';
      };
      const connections = new ConnectionCache();
      try {
        return await runLane(lane.lane, {
          fleet: lane.fleet,
          resolveUrl: async ({ name }) => proxy.url(name),
          log: lane.log,
          deadlineMs: Date.now() + 60_000,
          connections,
        });
      } finally {
        await connections.close();
      }
    },
  };
}

/**
 * Runs statements in a session of their own, and resolves when they are done or when one of them waits for a lock: then it is left
 * waiting, and `done` says when it has ended.
 */
export async function beginStatements(
  url: string,
  statements: readonly string[],
): Promise<{ readonly waits: boolean; readonly done: Promise<void> }> {
  const { promise: known, resolve: knows } = Promise.withResolvers<number>();
  let ended = false;
  const done = withConnection({ database: 'test', url, purpose: 'test ddl' }, async (db) => {
    const { pid } = await db.row<{ pid: number }>('select pg_backend_pid() as pid');
    knows(pid);
    await db.script('set search_path to "$user", public');
    for (const sql of statements) await db.script(sql);
  }).finally(() => {
    ended = true;
    knows(0);
  });
  done.catch(() => {});
  const pid = await known;
  const waits = await withConnection({ database: 'test', url, purpose: 'test watch' }, async (watch) => {
    let waiting = false;
    await waitFor(async () => {
      if (ended) return true;
      const [row] = await watch.rows<{ waiting: boolean }>(
        `select cardinality(pg_blocking_pids($1)) > 0 as waiting`,
        [pid],
      );
      waiting = row?.waiting === true;
      return waiting;
    });
    return waiting && !ended;
  });
  return { waits, done };
}
