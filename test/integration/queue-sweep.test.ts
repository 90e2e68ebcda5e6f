import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSweepHandler, type SweepHandlerOptions } from '../../lambdas/sweep/create-handler.ts';
import { CONTROL_SCHEMA } from '../../shared/capture/control-schema.ts';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Fleet, Schedule } from '../../shared/config/types.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';
import { createKickQueue, type KickQueue } from '../../shared/queue/kick-queue.ts';
import type { LogFields } from '../../shared/telemetry/log.ts';
import type { SweepMeasurement } from '../../shared/telemetry/metrics.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

let sqs: LocalSqs;
let queue: KickQueue;
let events: (LogFields & { readonly event: string })[];
let measurements: SweepMeasurement[];

beforeEach(async () => {
  sqs = await startLocalSqs();
  queue = createKickQueue({ queueUrl: sqs.kicks.url, endpoint: sqs.endpoint });
  events = [];
  measurements = [];
});

afterEach(async () => {
  queue.close();
  await sqs.close();
});

/** Syncs of `table_name` each to one target; what the triggers and `apply` would have made is put in by hand. */
const SOURCE = `
  ${CONTROL_SCHEMA}
  create table bucardo."delta_public_Orders" (
    id text, txntime timestamptz not null, txid bigint not null default txid_current(), author text);
  insert into bucardo.relation values ('public', 'Orders', 'delta_public_Orders', '{id}', 'statement');
  insert into bucardo.sync_relation values ('orders', 'public', 'Orders'), ('nightly', 'public', 'Orders');
  insert into bucardo.progress (sync, destination, mark, system_identifier)
  select sync, 'reports', txid_current_snapshot(), (pg_control_system()).system_identifier
  from unnest(array['orders', 'nightly']) as s(sync);`;

interface SyncSettings {
  readonly source: string;
  readonly schedule?: Schedule;
  readonly autokick?: boolean;
}

function fleetOf(databases: readonly string[], syncs: Readonly<Record<string, SyncSettings>>): Fleet {
  return {
    name: 'bucardo',
    aws: DEFAULT_AWS_SETTINGS,
    databases: new Map(
      [...databases, 'reports'].map((name) => [
        name,
        { name, engine: 'postgres' as const, url: { kind: 'env' as const, name }, wake: 'notify' as const },
      ]),
    ),
    syncs: new Map(
      Object.entries(syncs).map(([name, { source, schedule, autokick = true }]) => [
        name,
        {
          name,
          source,
          targets: ['reports'],
          include: [],
          exclude: [],
          schedule,
          autokick,
          copy: 'never' as const,
          batchRows: 1_000,
        },
      ]),
    ),
  };
}

function sweepOf(
  fleet: Fleet,
  urls: Readonly<Record<string, string>>,
  options: Partial<SweepHandlerOptions> = {},
) {
  return createSweepHandler({
    fleet,
    resolveUrl: async ({ name }) => urls[name] ?? '',
    queue,
    log: (_level, event, fields) => events.push({ event, ...fields }),
    metrics: { sweep: (measured) => measurements.push(measured) },
    now: Date.now,
    watch: async () => {},
    purge: async () => ({ failed: 0 }),
    ...options,
  });
}

const BOTH = fleetOf(['east'], { orders: { source: 'east' }, nightly: { source: 'east', autokick: false } });

async function sourceWith(sql: string): Promise<{ database: TestDatabase; app: Connection }> {
  const database = await createDatabase(SOURCE);
  const app = await database.app();
  // A transaction of its own: a snapshot does not list the id of the transaction that takes it, so the mark would cover it.
  if (sql !== '') await app.script(sql);
  return { database, app };
}

const scheduled = fleetOf(['east'], {
  orders: { source: 'east', schedule: 'rate(5 minutes)' },
  nightly: { source: 'east', autokick: false },
});

/** A change that happened so long ago. */
function change(age: string): string {
  return `insert into bucardo."delta_public_Orders" (id, txntime) values (1, clock_timestamp() - interval '${age}');`;
}

describe('missed changes', () => {
  it('kick the lane when they are older than the interval, and only lanes that changes kick', async () => {
    const { database } = await sourceWith(change('2 minutes'));
    const sweep = sweepOf(BOTH, { east: database.url });
    expect(await sweep()).toEqual({ kicked: [{ lane: 'orders/reports', reason: 'sweep' }], failed: [] });
    expect((await queue.depth()).visible).toBe(1);
  });

  it('that are younger than the interval are left to the notifier', async () => {
    const { database } = await sourceWith(change('5 seconds'));
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toEqual([]);
    expect((await sweepOf(BOTH, { east: database.url }, { intervalSeconds: 1 })()).kicked).toHaveLength(1);
  });

  it('that the lane has already replicated kick nobody', async () => {
    const { database, app } = await sourceWith(change('2 minutes'));
    await app.script('update bucardo.progress set mark = txid_current_snapshot()');
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toEqual([]);
  });

  it('of a transaction that was running when the mark was made are found, past others that are covered', async () => {
    const { database, app } = await sourceWith('');
    const late = await database.app();
    await late.script(`begin; ${change('3 minutes')}`);
    await app.script(change('2 minutes'));
    await app.script('update bucardo.progress set mark = txid_current_snapshot()');
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toEqual([]);
    await late.script('commit');
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toHaveLength(1);
  });

  it('are all changes when there is no mark, or the mark is another cluster’s', async () => {
    const { database, app } = await sourceWith(change('2 minutes'));
    await app.script('update bucardo.progress set mark = null');
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toHaveLength(1);
    await app.script(
      'update bucardo.progress set mark = txid_current_snapshot(), system_identifier = system_identifier + 1',
    );
    expect((await sweepOf(BOTH, { east: database.url })()).kicked).toHaveLength(1);
  });
});

describe('what is measured', () => {
  const fleet = BOTH;
  const laneOf = (sync: string) => measurements.at(-1)?.lanes.find((lane) => lane.sync === sync);

  it('is the age of the oldest change that waits, and the rows that are parked', async () => {
    const { database, app } = await sourceWith(`${change('3 minutes')} ${change('1 minute')}`);
    await app.script(
      `insert into bucardo.rejected_row
         (sync, destination, schema_name, table_name, key, error_code, error_detail, txntime, key_hash)
       values ('orders', 'reports', 'public', 'Orders', '{1}', 'BUC-ROW-REFUSED', '', clock_timestamp(), '\\x01'),
         ('orders', 'reports', 'public', 'Orders', '{2}', 'BUC-ROW-REFUSED', '', clock_timestamp(), '\\x02')`,
    );
    await sweepOf(fleet, { east: database.url })();
    expect(laneOf('orders')).toMatchObject({ rejectedRows: 2, ownAlarm: false });
    expect(laneOf('orders')?.lagSeconds).toBeGreaterThanOrEqual(180);
    expect(laneOf('orders')?.lagSeconds).toBeLessThan(240);
    expect(events.filter(({ event }) => event === 'sweep.lane.measured').map(({ lane }) => lane)).toEqual([
      'orders/reports',
      'nightly/reports',
    ]);
    await app.script(
      'delete from bucardo.rejected_row; update bucardo.progress set mark = txid_current_snapshot()',
    );
    events = [];
    await sweepOf(fleet, { east: database.url })();
    expect(laneOf('orders')).toMatchObject({ lagSeconds: 0, rejectedRows: 0 });
    expect(events.filter(({ event }) => event === 'sweep.lane.measured')).toEqual([]);
  });

  it('counts what a held relation still has to bring, from its own mark', async () => {
    const { database, app } = await sourceWith(change('10 minutes'));
    await app.script(
      `insert into bucardo.held_relation
         (sync, destination, schema_name, table_name, mark, error_code, error_detail, retry_at)
       select sync, destination, 'public', 'Orders', mark, 'BUC-COLUMN-MISSING', '', clock_timestamp() + interval '1 hour'
       from bucardo.progress where sync = 'orders';
       update bucardo.progress set mark = txid_current_snapshot()`,
    );
    const { kicked } = await sweepOf(fleet, { east: database.url })();
    expect(laneOf('orders')?.lagSeconds).toBeGreaterThanOrEqual(600);
    expect(laneOf('nightly')?.lagSeconds).toBe(0);
    // Its own retry is due in an hour; until then a run would not bring it.
    expect(kicked).toEqual([]);
  });

  it('counts a paused lane like any other', async () => {
    const { database, app } = await sourceWith(change('10 minutes'));
    await app.script(
      `insert into bucardo.lane_status (sync, destination, paused_at) values ('orders', 'reports', clock_timestamp())`,
    );
    await sweepOf(fleet, { east: database.url })();
    expect(laneOf('orders')?.lagSeconds).toBeGreaterThanOrEqual(600);
  });

  it('is told apart for lanes with an alarm of their own', async () => {
    const { database } = await sourceWith('');
    const syncs = [...BOTH.syncs.values()].map((sync) =>
      sync.name === 'orders' ? { ...sync, lagAlarmSeconds: 60 } : sync,
    );
    await sweepOf(
      { ...BOTH, syncs: new Map(syncs.map((sync) => [sync.name, sync])) },
      { east: database.url },
    )();
    expect(laneOf('orders')).toMatchObject({ ownAlarm: true });
    expect(laneOf('nightly')).toMatchObject({ ownAlarm: false });
  });

  it('reads few deltas however many wait, and however many lie before the mark', async () => {
    const { database, app } = await sourceWith('');
    // Ids far below the real ones: 20,000 that the mark covers but for two, and as many that wait.
    await app.script(
      `insert into bucardo."delta_public_Orders" (id, txntime, txid)
       select id, clock_timestamp() - interval '5 minutes', id from generate_series(1, 40000) id;
       create index on bucardo."delta_public_Orders" (txid);
       analyze bucardo."delta_public_Orders";
       update bucardo.progress set mark = '100:20000:100,15000';
       delete from bucardo.sync_relation where sync = 'nightly'`,
    );
    const readEntries = async () => {
      const { count } = await app.row<{ count: string }>(
        `select coalesce(sum(idx_tup_read), 0) as count
         from pg_stat_user_indexes where relname = 'delta_public_Orders'`,
      );
      return Number(count);
    };
    const before = await readEntries();
    await sweepOf(fleet, { east: database.url })();
    expect(laneOf('orders')?.lagSeconds).toBeGreaterThanOrEqual(300);
    // A session reports what it has read when it ends.
    await waitFor(async () => (await readEntries()) > before);
    expect((await readEntries()) - before).toBeLessThan(2_000);
  });

  it('leaves out a source that cannot be swept, and counts it', async () => {
    await sweepOf(fleet, { east: 'postgres://127.0.0.1:1/none' })();
    expect(measurements).toEqual([{ lanes: [], sourcesFailed: 1, purgeFailures: 0 }]);
  });
});

describe('what the source has recorded', () => {
  it('of a paused lane, that somebody wants it to wait', async () => {
    const { database, app } = await sourceWith(change('2 minutes'));
    await app.script(
      `insert into bucardo.lane_status (sync, destination, paused_at) values ('orders', 'reports', clock_timestamp())`,
    );
    const sweep = sweepOf(BOTH, { east: database.url });
    expect((await sweep()).kicked).toEqual([]);
    await app.script('update bucardo.lane_status set paused_at = null');
    expect((await sweep()).kicked).toEqual([{ lane: 'orders/reports', reason: 'sweep' }]);
  });

  it('of a schedule that others kick, that they have not', async () => {
    const { database, app } = await sourceWith(
      `insert into bucardo.lane_status (sync, destination, run_started_at)
       values ('orders', 'reports', clock_timestamp() - interval '6 minutes')`,
    );
    const sweep = sweepOf(scheduled, { east: database.url }, { scheduleGraceSeconds: 90 });
    expect((await sweep()).kicked).toEqual([]);
    await app.script(
      `update bucardo.lane_status set run_started_at = clock_timestamp() - interval '7 minutes'`,
    );
    expect((await sweep()).kicked).toEqual([{ lane: 'orders/reports', reason: 'schedule' }]);
  });

  it('decides whether the schedule is due', async () => {
    const { database, app } = await sourceWith(
      `insert into bucardo.lane_status (sync, destination, run_started_at)
       values ('orders', 'reports', clock_timestamp() - interval '4 minutes')`,
    );
    const sweep = sweepOf(scheduled, { east: database.url });
    expect((await sweep()).kicked).toEqual([]);
    await app.script(
      `update bucardo.lane_status set run_started_at = clock_timestamp() - interval '6 minutes'`,
    );
    expect((await sweep()).kicked).toEqual([{ lane: 'orders/reports', reason: 'schedule' }]);
  });

  it('kicks for a retry that did not come, a held relation that is due, and an unfinished copy', async () => {
    const { database, app } = await sourceWith(
      `insert into bucardo.lane_status (sync, destination, failures, retry_at)
       values ('orders', 'reports', 2, clock_timestamp() + interval '10 seconds')`,
    );
    const sweep = sweepOf(BOTH, { east: database.url });
    expect((await sweep()).kicked).toEqual([]);
    await app.script(`update bucardo.lane_status set retry_at = clock_timestamp() - interval '2 minutes'`);
    expect((await sweep()).kicked).toEqual([{ lane: 'orders/reports', reason: 'sweep' }]);

    await app.script('update bucardo.lane_status set failures = 0, retry_at = null');
    expect((await sweep()).kicked).toEqual([]);
    await app.script(
      `insert into bucardo.held_relation
         (sync, destination, schema_name, table_name, error_code, error_detail, retry_at)
       values ('nightly', 'reports', 'public', 'Orders', 'BUC-COLUMN-MISSING', '',
         clock_timestamp() + interval '1 hour'),
         ('nightly', 'reports', 'public', 'others', 'BUC-COLUMN-MISSING', '', clock_timestamp())`,
    );
    expect((await sweep()).kicked).toEqual([{ lane: 'nightly/reports', reason: 'sweep' }]);

    await app.script(
      `delete from bucardo.held_relation;
       insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state)
       values ('orders', 'reports', 'public', 'Orders', 'if-empty', 'copying')`,
    );
    expect((await sweep()).kicked).toEqual([{ lane: 'orders/reports', reason: 'sweep' }]);
  });

  it('says which lanes are not registered, and kicks none of them', async () => {
    const { database, app } = await sourceWith(change('2 minutes'));
    await app.script(`delete from bucardo.progress where sync = 'orders'`);
    expect(await sweepOf(scheduled, { east: database.url })()).toEqual({ kicked: [], failed: [] });
    expect(events.filter(({ event }) => event === 'sweep.lane.unregistered')).toEqual([
      { event: 'sweep.lane.unregistered', sync: 'orders', destination: 'reports' },
    ]);
  });
});

describe('several sources', () => {
  const fleet = fleetOf(['east', 'gone', 'bare'], {
    orders: { source: 'east' },
    other: { source: 'gone' },
    third: { source: 'bare' },
  });

  it('are swept whatever state the others are in', async () => {
    const { database } = await sourceWith(change('2 minutes'));
    const bare = await createDatabase();
    const purged: string[] = [];
    const report = await sweepOf(
      fleet,
      { east: database.url, gone: 'postgres://postgres@127.0.0.1:1/x', bare: bare.url },
      {
        purge: async (source) => {
          purged.push(source.database);
          return { failed: 2 };
        },
      },
    )();
    expect(report.kicked).toEqual([{ lane: 'orders/reports', reason: 'sweep' }]);
    expect([...report.failed].sort()).toEqual(['bare', 'gone']);
    expect(
      events
        .filter(({ event }) => event === 'sweep.source.failed')
        .map(({ database, code }) => `${database} ${code}`)
        .sort(),
    ).toEqual(['bare BUC-NOT-APPLIED', 'gone BUC-DB-UNREACHABLE']);
    expect(purged).toEqual(['east']);
    expect(measurements).toMatchObject([{ sourcesFailed: 2, purgeFailures: 2 }]);
  });

  it('are kicked before anything is purged, and a failing purge undoes no kick', async () => {
    const { database } = await sourceWith(change('2 minutes'));
    let visibleAtPurge = 0;
    const report = await sweepOf(
      BOTH,
      { east: database.url },
      {
        purge: async () => {
          visibleAtPurge = (await queue.depth()).visible;
          throw new Error('broken');
        },
      },
    )();
    expect(visibleAtPurge).toBe(1);
    expect(report).toEqual({ kicked: [{ lane: 'orders/reports', reason: 'sweep' }], failed: ['east'] });
  });
});
