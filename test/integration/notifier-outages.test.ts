/** The notifier while its source goes away and comes back: no commit stays without a kick, and nothing needs a restart. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Notifier, startNotifier } from '../../notifier/start-notifier.ts';
import type { Timing } from '../../notifier/timing.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { applyTables, fleetOf, RecordingQueue } from '../support/notifying.ts';
import { waitFor } from '../support/wait-for.ts';

const FLEET = fleetOf({ shop: {} }, { all: { source: 'shop', targets: ['reports'] } });

let server: PostgresServer;
let notifier: Notifier | undefined;

beforeAll(async () => {
  server = await startPostgres();
  await applyTables(server.url(), { orders: ['all'] });
});

afterAll(() => server.destroy());

afterEach(async () => {
  await notifier?.stop();
  notifier = undefined;
});

async function start(timing: Partial<Timing> = { heartbeatMs: 600_000 }): Promise<RecordingQueue> {
  const queue = new RecordingQueue();
  notifier = await startNotifier({
    fleet: FLEET,
    resolveUrl: async () => server.url(),
    queue,
    log: () => {},
    timing,
  });
  await notifier.ready;
  await waitFor(() => state() === 'idle', 20_000, 'idle');
  queue.forget();
  return queue;
}

function state(): string | undefined {
  return notifier?.health().sources['shop']?.state;
}

async function sql(text: string): Promise<void> {
  await withConnection({ database: 'shop', url: server.url(), purpose: 'application' }, (db) =>
    db.script(text),
  );
}

let nextId = 1;
async function change(): Promise<void> {
  nextId += 1;
  await sql(`insert into public.orders values (${nextId})`);
}

async function notifierPid(): Promise<number> {
  return await withConnection({ database: 'shop', url: server.url(), purpose: 'test' }, async (db) => {
    const { pid } = await db.row<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'bucardo notifier'`,
    );
    return pid;
  });
}

/** The source is watched again: a fresh change is kicked for. */
async function expectChangesKick(queue: RecordingQueue): Promise<void> {
  await waitFor(() => state() === 'idle', 20_000, 'idle');
  queue.forget();
  await change();
  await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick for a change afterwards');
}

test('a terminated connection is opened again and everything is kicked', async () => {
  const queue = await start();
  await sql(
    `begin; insert into public.orders values (-1); select pg_terminate_backend(${await notifierPid()}); commit`,
  );
  await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick after reconnecting');
  await expectChangesKick(queue);
});

test.each(['fast', 'immediate'] as const)(
  'a server that stops (%s) and starts again is waited for',
  async (mode) => {
    const queue = await start();
    await server.stop(mode);
    await waitFor(() => state() === 'failing', 20_000, 'failing');
    expect(notifier?.health().sources['shop']?.error).toBe('BUC-DB-UNREACHABLE');
    await server.start();
    await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick after the restart');
    await expectChangesKick(queue);
  },
);

test('a server that comes back under another address is found there', async () => {
  const queue = await start();
  await server.stop();
  await server.moveToNewPort();
  await server.start();
  await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick after the move');
  await expectChangesKick(queue);
});

test('a connection that stays open but answers no more is given up', async () => {
  const queue = await start({ heartbeatMs: 200, answerTimeoutMs: 500 });
  const pid = await notifierPid();
  process.kill(pid, 'SIGSTOP');
  try {
    await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick over a new connection');
    await expectChangesKick(queue);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  // What the old session still had to do comes now; the heartbeat puts right whatever that was.
  await expectChangesKick(queue);
});

test(
  'restarts and kills while writers write leave no commit without a kick',
  { timeout: 120_000 },
  async () => {
    const queue = await start();
    await queue.observe(server.url());
    try {
      const committed: bigint[] = [];
      const writing = new AbortController();
      const writer = async (): Promise<void> => {
        await withConnection({ database: 'shop', url: server.url(), purpose: 'application' }, async (db) => {
          while (!writing.signal.aborted) {
            nextId += 1;
            await db.script(`begin; insert into public.orders values (${nextId})`);
            const { txid } = await db.row<{ txid: string }>(`select txid_current()::text as txid`);
            await db.script('commit');
            committed.push(BigInt(txid));
          }
        });
      };
      const writers = [writer(), writer(), writer()];
      for (let kill = 0; kill < 6; kill += 1) {
        await waitFor(() => state() === 'idle' || state() === 'busy', 20_000, 'connected');
        const seen = committed.length;
        await waitFor(() => committed.length > seen + 20 + kill * 7, 20_000, 'more commits');
        const { connectedSince } = notifier?.health().sources['shop'] ?? {};
        await sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bucardo notifier'`,
        );
        // By its outcome: the loss itself may be over before anybody looks.
        await waitFor(
          () => notifier?.health().sources['shop']?.connectedSince !== connectedSince,
          20_000,
          'the loss noticed',
        );
      }
      writing.abort();
      await Promise.all(writers);
      const uncovered = () => committed.filter((txid) => !queue.covered('all/reports', txid));
      await waitFor(() => uncovered().length === 0, 20_000, 'a kick for every commit');
      expect(committed.length).toBeGreaterThan(200);
    } finally {
      await queue.close();
    }
  },
);
