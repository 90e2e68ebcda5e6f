/** The notifier against a real source: what it kicks, and that no commit goes without a kick. The heartbeat is off. */
import { afterEach, describe, expect, test } from 'vitest';
import { type Notifier, type NotifierOptions, startNotifier } from '../../notifier/start-notifier.ts';
import type { Fleet } from '../../shared/config/types.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import type { LogFields } from '../../shared/telemetry/log.ts';
import { createDatabase, inDatabase, type TestDatabase } from '../support/database.ts';
import { applyTables, fleetOf, RecordingQueue } from '../support/notifying.ts';
import { waitFor } from '../support/wait-for.ts';

/** Only the protocol itself is to find changes here. */
const NO_HEARTBEAT = { heartbeatMs: 600_000 };
const TABLES = { customers: ['all'], orders: ['all', 'some'], quiet: ['silent'] };

const running: Notifier[] = [];
const queues: RecordingQueue[] = [];
const events: { readonly event: string; readonly fields: LogFields }[] = [];

// Registered after the check for leaked connections, hence run before it.
afterEach(async () => {
  await Promise.all(running.splice(0).map((notifier) => notifier.stop()));
  await Promise.all(queues.splice(0).map((queue) => queue.close()));
  events.length = 0;
});

function newQueue(): RecordingQueue {
  const queue = new RecordingQueue();
  queues.push(queue);
  return queue;
}

async function start(
  urls: Readonly<Record<string, string>>,
  fleet: Fleet,
  queue: RecordingQueue,
  more: Partial<NotifierOptions> = {},
): Promise<Notifier> {
  const notifier = await startNotifier({
    fleet,
    resolveUrl: async ({ name }) => urls[name] ?? '',
    queue,
    log: (level, event, fields = {}) => {
      if (level !== 'debug') events.push({ event, fields });
    },
    timing: NO_HEARTBEAT,
    ...more,
  });
  running.push(notifier);
  await notifier.ready;
  return notifier;
}

const SHOP = fleetOf(
  { shop: {} },
  {
    all: { source: 'shop', targets: ['reports', 'archive'] },
    some: { source: 'shop', targets: ['search'] },
    silent: { source: 'shop', targets: ['reports'], autokick: false },
    unapplied: { source: 'shop', targets: ['reports'] },
  },
);

async function shop(wake: 'notify' | 'poll' = 'notify'): Promise<TestDatabase> {
  const database = await createDatabase();
  await applyTables(database.url, TABLES, wake);
  // As a notifier leaves it that ended.
  await inDatabase(database, (db) => db.script(`select setval('bucardo.wake', 0)`));
  return database;
}

async function flagOf(database: TestDatabase): Promise<number> {
  return await inDatabase(database, async (db) => {
    const { flag } = await db.row<{ flag: number }>(`select last_value::int as flag from bucardo.wake`);
    return flag;
  });
}

/** The notifier's own word for "asleep until something is notified". */
async function idle(notifier: Notifier): Promise<void> {
  await waitFor(
    () => Object.values(notifier.health().sources).every(({ state }) => state === 'idle'),
    20_000,
    'idle',
  );
}

describe('what is kicked', () => {
  test('on connecting every lane that is applied and kicked by changes, once', async () => {
    const database = await shop();
    const queue = newQueue();
    const notifier = await start({ shop: database.url }, SHOP, queue);
    await idle(notifier);
    expect(queue.sent.map(({ lanes }) => [...lanes].sort())).toEqual([
      ['all/archive', 'all/reports', 'some/search'],
    ]);
    expect(await flagOf(database)).toBe(1);
  });

  test('by a change only the lanes whose tables changed', async () => {
    const database = await shop();
    const queue = newQueue();
    await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    await inDatabase(database, (db) => db.run(`insert into quiet values (1)`));
    await inDatabase(database, (db) => db.run(`insert into customers values (1)`));
    await waitFor(() => queue.kicked('all/reports'));
    await inDatabase(database, (db) => db.run(`insert into orders values (1)`));
    await waitFor(() => queue.kicked('some/search'));
    expect(queue.sent.map(({ lanes }) => [...lanes].sort())).toEqual([
      ['all/archive', 'all/reports'],
      ['all/archive', 'all/reports', 'some/search'],
    ]);
  });

  test('nothing by a transaction that is rolled back', async () => {
    const database = await shop();
    const queue = newQueue();
    const notifier = await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    const app = await database.app();
    await app.script(`begin; insert into orders values (1); rollback`);
    await app.script(`insert into customers values (1)`);
    await waitFor(() => queue.kicked('all/reports'));
    await idle(notifier);
    expect(queue.kicked('some/search')).toBe(false);
  });

  test('by a TRUNCATE the lanes of the table', async () => {
    const database = await shop();
    const queue = newQueue();
    await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    await inDatabase(database, (db) => db.script(`truncate orders`));
    await waitFor(() => queue.kicked('some/search'));
  });

  test('by Bucardo’s own notification the lanes of the sync that it names, if changes kick it', async () => {
    const database = await shop();
    const queue = newQueue();
    const notifier = await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    await inDatabase(database, (db) =>
      db.script(`notify bucardo, 'kick_sync_silent'; notify bucardo, 'kick_sync_gone'`),
    );
    await inDatabase(database, (db) => db.script(`notify bucardo, 'kick_sync_some'`));
    await waitFor(() => queue.sent.length > 0);
    await idle(notifier);
    expect(queue.sent.map(({ lanes }) => lanes)).toEqual([['some/search']]);
  });

  test('by changes of a table that is applied while the notifier runs, its sync included', async () => {
    const database = await shop();
    const queue = newQueue();
    await start({ shop: database.url }, SHOP, queue, { timing: { heartbeatMs: 100 } });
    queue.forget();
    await applyTables(database.url, { ...TABLES, items: ['unapplied'] });
    await waitFor(() => queue.kicked('unapplied/reports'), 20_000, 'the kick for the new table');
    queue.forget();
    await inDatabase(database, (db) => db.run(`insert into items values (1)`));
    await waitFor(() => queue.kicked('unapplied/reports'), 20_000, 'the kick for its change');
    queue.forget();
    await applyTables(database.url, TABLES);
    await inDatabase(database, (db) => db.run(`insert into customers values (1)`));
    await waitFor(() => queue.kicked('all/reports'), 20_000, 'a kick after a table was dropped');
  });
});

describe('transactions that read "disarmed" and commit much later', () => {
  const kinds: readonly (readonly [string, string, string])[] = [
    ['an ordinary one', 'begin', ''],
    ['a repeatable read one', 'begin isolation level repeatable read', ''],
    ['one that wrote in a savepoint', 'begin', 'savepoint s'],
  ];
  test.each(kinds)('%s is kicked for when it commits, and nobody notified', async (_, begin, savepoint) => {
    const database = await shop();
    const queue = newQueue();
    const heard: string[] = [];
    const listener = await database.app();
    listener.onNotification((_channel, payload) => void heard.push(payload));
    await listener.script('listen bucardo');

    const app = await database.app();
    await app.script(`${begin}; ${savepoint}; insert into orders values (1)`);
    const notifier = await start({ shop: database.url }, SHOP, queue);
    await idle(notifier);
    queue.forget();
    await app.script('commit');
    await waitFor(() => queue.kicked('some/search'));
    await idle(notifier);
    // Any answer comes after whatever was notified before.
    await listener.script('select 1');
    expect(heard).toEqual([]);
  });

  test('a change that commits while another transaction stays open is kicked for at once', async () => {
    const database = await shop();
    const queue = newQueue();
    const open = await database.app();
    await open.script('begin; insert into customers values (1)');
    await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    await inDatabase(database, (db) => db.run(`insert into orders values (1)`));
    await waitFor(() => queue.kicked('some/search'));
    await open.script('rollback');
  });
});

describe('under load', () => {
  const LANES: Readonly<Record<string, readonly string[]>> = {
    customers: ['all/reports', 'all/archive'],
    orders: ['all/reports', 'all/archive', 'some/search'],
  };

  interface Committed {
    readonly table: string;
    readonly txid: bigint;
  }

  /** One transaction of some kind; what it committed. */
  async function transact(app: Connection, id: number): Promise<readonly Committed[]> {
    const kind = id % 7;
    const table = id % 2 === 0 ? 'customers' : 'orders';
    const isolation = kind === 3 ? 'repeatable read' : 'read committed';
    await app.script(`begin isolation level ${isolation}`);
    if (kind === 4) await app.script(`savepoint s; insert into orders values (-${id}); rollback to s`);
    await app.script(`${kind === 5 ? 'savepoint s;' : ''} insert into ${table} values (${id})`);
    const { txid } = await app.row<{ txid: string }>(`select txid_current()::text as txid`);
    if (kind === 6) {
      await app.script('rollback');
      return [];
    }
    await app.script('commit');
    return [{ table, txid: BigInt(txid) }];
  }

  function missing(queue: RecordingQueue, committed: readonly Committed[]): readonly string[] {
    return committed.flatMap(({ table, txid }) =>
      (LANES[table] ?? []).filter((lane) => !queue.covered(lane, txid)).map((lane) => `${lane} ${txid}`),
    );
  }

  /** Opens a transaction that writes while the source is disarmed, if that happens before `ended`. */
  async function writeWhileDisarmed(
    app: Connection,
    id: number,
    ended: AbortSignal,
  ): Promise<{ readonly disarmed: boolean; readonly change: Committed }> {
    await app.script('begin isolation level repeatable read');
    const isDisarmed = async () => {
      const { flag } = await app.row<{ flag: number }>(`select last_value::int as flag from bucardo.wake`);
      return flag === 0;
    };
    let disarmed = await isDisarmed();
    while (!disarmed && !ended.aborted) disarmed = await isDisarmed();
    await app.script(`insert into orders values (${id})`);
    const { txid } = await app.row<{ txid: string }>(`select txid_current()::text as txid`);
    return { disarmed, change: { table: 'orders', txid: BigInt(txid) } };
  }

  test('every commit of many concurrent short and long transactions is followed by a kick', async () => {
    const database = await shop();
    const queue = newQueue();
    await queue.observe(database.url);
    const notifier = await start({ shop: database.url }, SHOP, queue);
    const sessions = await Promise.all(Array.from({ length: 8 }, () => database.app()));
    const [late, later] = [await database.app(), await database.app()];
    const committed: Committed[] = [];
    const everythingKicked = () =>
      waitFor(() => missing(queue, committed).length === 0, 20_000, 'a kick for every commit');
    let nextId = 1;
    let wroteWhileDisarmed = 0;
    for (let burst = 0; burst < 25; burst += 1) {
      const ended = new AbortController();
      const open = writeWhileDisarmed(late, (nextId += 1), ended.signal);
      if (burst % 5 === 0) await later.script(`begin; insert into customers values (-${(nextId += 1)})`);
      // Bursts of growing length end at all places of the notifier's rounds.
      await Promise.all(
        sessions.map(async (app) => {
          for (let left = 1 + (burst % 12); left > 0; left -= 1) {
            committed.push(...(await transact(app, (nextId += 1))));
          }
        }),
      );
      ended.abort();
      const { disarmed, change } = await open;
      if (disarmed) wroteWhileDisarmed += 1;
      // No further change may be needed for the last ones to be kicked for.
      await everythingKicked();
      await idle(notifier);
      await late.script('commit');
      committed.push(change);
      await everythingKicked();
      if (burst % 5 === 4) await later.script('rollback');
    }
    expect(committed.length).toBeGreaterThan(900);
    expect(wroteWhileDisarmed).toBeGreaterThan(5);
  });

  test('a busy source is polled: few of its commits notify, and kicks are coalesced', async () => {
    const database = await shop();
    const queue = newQueue();
    await queue.observe(database.url);
    const notifier = await start({ shop: database.url }, SHOP, queue);
    const listener = await database.app();
    let notifications = 0;
    listener.onNotification(() => void (notifications += 1));
    await listener.script('listen bucardo');
    queue.forget();
    const sessions = await Promise.all(Array.from({ length: 4 }, () => database.app()));
    const committed: Committed[] = [];
    const untilMs = performance.now() + 2_000;
    await Promise.all(
      sessions.map(async (app, session) => {
        for (let id = session * 1_000_000; performance.now() < untilMs; id += 7) {
          committed.push(...(await transact(app, id)));
        }
      }),
    );
    await waitFor(() => missing(queue, committed).length === 0, 20_000, 'a kick for every commit');
    await idle(notifier);
    await listener.script('select 1');
    expect(committed.length).toBeGreaterThan(200);
    expect(notifications).toBeGreaterThan(0);
    expect(notifications).toBeLessThan(committed.length / 5);
    // 10, 20, 40, … 250 ms windows: about a dozen in two seconds.
    expect(queue.sent.length).toBeLessThan(40);
  });

  test('a notifier that starts under steady load is ready, and misses nothing from then on', async () => {
    const database = await shop();
    const queue = newQueue();
    await queue.observe(database.url);
    const enough = new AbortController();
    const sessions = await Promise.all(Array.from({ length: 4 }, () => database.app()));
    const committed: Committed[] = [];
    let ready = false;
    const writing = sessions.map(async (app, session) => {
      for (let id = session * 1_000_000; !enough.signal.aborted; id += 7) {
        const done = await transact(app, id);
        if (ready) committed.push(...done);
      }
    });
    try {
      await start({ shop: database.url }, SHOP, queue);
      ready = true;
      await waitFor(() => committed.length > 100);
    } finally {
      enough.abort();
      await Promise.all(writing);
    }
    await waitFor(() => missing(queue, committed).length === 0, 20_000, 'a kick for every commit');
  });
});

describe('sources that are polled', () => {
  test('changes are kicked for without any notification, those of prepared transactions included', async () => {
    const database = await shop('poll');
    const queue = newQueue();
    const fleet = { ...SHOP, databases: fleetOf({ shop: { wake: 'poll' } }, {}).databases };
    await start({ shop: database.url }, fleet, queue);
    queue.forget();
    const app = await database.app();
    const name = `p${database.name}`;
    await app.script(`begin; insert into orders values (1); prepare transaction '${name}'`);
    await app.script(`insert into customers values (1)`);
    await waitFor(() => queue.kicked('all/reports'));
    expect(queue.kicked('some/search')).toBe(false);
    await app.script(`commit prepared '${name}'`);
    await waitFor(() => queue.kicked('some/search'));
    expect(await flagOf(database)).toBe(0);
  });
});

describe('what goes wrong', () => {
  test('kicks that the queue refuses are kept and sent again', async () => {
    const database = await shop();
    const queue = newQueue();
    await queue.observe(database.url);
    const notifier = await start({ shop: database.url }, SHOP, queue);
    queue.forget();
    queue.refusals = 3;
    await inDatabase(database, (db) => db.run(`insert into customers values (1)`));
    await waitFor(() => queue.refused >= 2, 20_000, 'refusals');
    expect(notifier.health().sources['shop']).toMatchObject({
      state: 'queue-failing',
      error: 'BUC-UNEXPECTED',
    });
    const txid = await inDatabase(database, async (db) => {
      const row = await db.row<{ txid: string }>(
        `with w as (insert into orders values (2) returning 1) select txid_current()::text as txid from w`,
      );
      return BigInt(row.txid);
    });
    await waitFor(() => queue.covered('some/search', txid), 20_000, 'a kick for the later change');
    expect(queue.kicked('all/archive')).toBe(true);
    await idle(notifier);
    expect(notifier.health().sources['shop']?.error).toBeUndefined();
    expect(events.filter(({ event }) => event === 'notifier.queue.failed')).toHaveLength(1);
    expect(events.filter(({ event }) => event === 'notifier.queue.recovered')).toHaveLength(1);
  });

  test('a source that is not applied is waited for, and reported once', async () => {
    const database = await createDatabase();
    const queue = newQueue();
    let attempts = 0;
    const notifier = await start({}, SHOP, queue, {
      resolveUrl: async () => {
        attempts += 1;
        return database.url;
      },
      timing: { ...NO_HEARTBEAT, reconnectLeastMs: 10, reconnectMostMs: 50 },
    });
    await waitFor(() => attempts > 3, 20_000, 'several attempts');
    expect(notifier.health().sources['shop']).toMatchObject({
      state: 'not-applied',
      error: 'BUC-NOT-APPLIED',
    });
    expect(events.map(({ event }) => event)).toEqual(['notifier.source.not-applied']);
    await applyTables(database.url, TABLES);
    await waitFor(() => queue.kicked('all/reports'), 20_000, 'the first kick');
    await idle(notifier);
    expect(events.map(({ event }) => event)).toEqual([
      'notifier.source.not-applied',
      'notifier.source.connected',
    ]);
  });

  test('a source that cannot be reached does not hold up another one', async () => {
    const database = await shop();
    const queue = newQueue();
    const fleet = fleetOf(
      { shop: {}, gone: {} },
      {
        all: { source: 'shop', targets: ['reports'] },
        elsewhere: { source: 'gone', targets: ['reports'] },
      },
    );
    const notifier = await start(
      { shop: database.url, gone: 'postgres://nobody:secret-word@127.0.0.1:1/gone' },
      fleet,
      queue,
      { health: { port: 0 } },
    );
    await inDatabase(database, (db) => db.run(`insert into customers values (1)`));
    await waitFor(() => queue.kicked('all/reports'));
    const response = await fetch(`http://127.0.0.1:${notifier.healthPort}/health`);
    expect(response.status).toBe(200);
    const body = await response.text();
    expect(JSON.parse(body)).toMatchObject({
      well: true,
      sources: { shop: { well: true }, gone: { state: 'failing', error: 'BUC-DB-UNREACHABLE' } },
    });
    expect(body + JSON.stringify(events)).not.toContain('secret-word');
    expect((await fetch(`http://127.0.0.1:${notifier.healthPort}/other`)).status).toBe(404);
  });

  test('the health endpoint answers 503 when no source is well', async () => {
    const notifier = await start({ shop: 'postgres://127.0.0.1:1/gone' }, SHOP, newQueue(), {
      health: { port: 0 },
      timing: { staleMs: 50 },
    });
    const status = async () => (await fetch(`http://127.0.0.1:${notifier.healthPort}/health`)).status;
    await waitFor(async () => (await status()) === 503, 20_000, '503');
  });
});

describe('stopping', () => {
  test('leaves the source disarmed and no connection behind', async () => {
    const database = await shop();
    const notifier = await start({ shop: database.url }, SHOP, newQueue());
    await waitFor(async () => (await flagOf(database)) === 1);
    await notifier.stop();
    expect(await flagOf(database)).toBe(0);
    expect(notifier.health().sources['shop']?.state).toBe('stopped');
  });

  test('makes another notifier of the same source arm again', async () => {
    const database = await shop();
    const queue = newQueue();
    const first = await start({ shop: database.url }, SHOP, newQueue());
    const second = await start({ shop: database.url }, SHOP, queue);
    await idle(second);
    await first.stop();
    await waitFor(async () => (await flagOf(database)) === 1, 20_000, 'armed again');
    await idle(second);
    queue.forget();
    await inDatabase(database, (db) => db.run(`insert into orders values (1)`));
    await waitFor(() => queue.kicked('some/search'));
  });

  test('does not wait for a queue that is away', async () => {
    const database = await shop();
    const queue = newQueue();
    queue.refusals = Number.POSITIVE_INFINITY;
    const notifier = await start({ shop: database.url }, SHOP, queue);
    await waitFor(() => queue.refused > 1, 20_000, 'refusals');
    await notifier.stop();
    expect(await flagOf(database)).toBe(0);
  });

  test('a flag that somebody else disarmed is armed again by the heartbeat, and what was missed is kicked for', async () => {
    const database = await shop();
    const queue = newQueue();
    const notifier = await start({ shop: database.url }, SHOP, queue, { timing: { heartbeatMs: 200 } });
    await idle(notifier);
    queue.forget();
    await inDatabase(database, (db) =>
      db.script(`select setval('bucardo.wake', 0); insert into orders values (1)`),
    );
    await waitFor(() => queue.kicked('some/search'));
    await waitFor(async () => (await flagOf(database)) === 1, 20_000, 'armed again');
  });
});
