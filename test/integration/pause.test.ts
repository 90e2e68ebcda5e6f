/** Pausing and resuming lanes of a whole fleet while an application writes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { withConnection } from '../../shared/postgres/connection.ts';
import { kickAndWait } from '../../shared/status/kick-and-wait.ts';
import { operate, type OperateContext } from '../../shared/status/operate.ts';
import type { Log } from '../../shared/telemetry/log.ts';
import { sourceSync } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import { LiveFleet } from '../support/live-fleet.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLE = 'create table item (id int primary key, name text)';
const ROUNDS = 4;

test('nothing is lost or brought over early, however often a lane is paused and resumed under load', async () => {
  const [east, reports, archive] = [
    await createDatabase(TABLE),
    await createDatabase(TABLE),
    await createDatabase(TABLE),
  ];
  const urls: Readonly<Record<string, string>> = {
    east: east.url,
    reports: reports.url,
    archive: archive.url,
  };
  const urlOf = (name: string): string => urls[name] ?? '';
  let paused = 0;
  const log: Log = (_level, event) => void (event === 'lane.run.paused' && (paused += 1));
  const live = new LiveFleet({ sync: sourceSync({ targets: ['reports', 'archive'] }), urlOf, log });
  await live.apply();
  const { queue } = await live.start();
  const context: OperateContext = {
    fleet: live.fleet,
    withDatabase: (name, body) =>
      withConnection({ database: name, url: urlOf(name), purpose: 'test command' }, body),
    queue,
  };
  const rows = (name: string) =>
    live.in(name, (db) => db.row('select count(*)::int as rows, max(name) as newest from public.item'));

  const app = await east.app();
  const enough = new AbortController();
  const writer = (async () => {
    for (let n = 1; !enough.signal.aborted; n += 1) {
      await app.run(`insert into item values ($1, $2) on conflict (id) do update set name = excluded.name`, [
        n % 500,
        String(n).padStart(8, '0'),
      ]);
      if (n % 7 === 0) await app.run('delete from item where id = $1', [(n * 3) % 500]);
    }
  })();
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      await operate({ command: 'pause', sync: 'orders', to: 'reports' }, context);
      // A run that is under way ends with its batch; the one after it does nothing.
      const seen = paused;
      await waitFor(() => paused > seen, 20_000, 'a run of the paused lane');
      const before = await rows('reports');
      await waitFor(() => paused > seen + 2, 20_000, 'more runs of the paused lane');
      expect(await rows('reports')).toEqual(before);
      await operate({ command: 'resume', sync: 'orders', to: 'reports' }, context);
      await waitFor(async () => JSON.stringify(await rows('reports')) !== JSON.stringify(before));
      await sleep(Math.random() * 100);
    }
    await operate({ command: 'pause', sync: 'orders', to: 'reports' }, context);
  } finally {
    enough.abort();
    await writer;
  }
  // The other lane has gone on; waiting for the paused one says at once why it is in vain.
  const [reportsLane, archiveLane] = [...live.fleet.syncs.values()].flatMap(({ name, source, targets }) =>
    targets.map((destination) => ({ id: `${name}/${destination}`, sync: name, source, destination })),
  );
  if (reportsLane === undefined || archiveLane === undefined) throw new Error('no lanes');
  const outcomes = await live.inSource((source) =>
    kickAndWait(source, {
      sync: live.sync,
      lanes: [archiveLane, reportsLane],
      send: () =>
        queue.send([archiveLane, reportsLane].map(({ id }) => ({ lane: id, reason: 'manual' as const }))),
      timeoutSeconds: 30,
    }),
  );
  expect(outcomes).toMatchObject([
    { lane: 'orders/archive', done: true },
    { lane: 'orders/reports', done: false, error: { code: 'BUC-LANE-NOT-DONE' } },
  ]);
  expect(outcomes[1]?.error?.message).toContain('bucardo resume orders');
  // What is paused stays so over a restart of everything.
  await live.stop();
  const restarted = await live.start();
  const seen = paused;
  await waitFor(() => paused > seen, 20_000, 'a run of the paused lane');
  await operate({ command: 'resume', sync: 'orders' }, { ...context, queue: restarted.queue });
  await live.settle(30);
  await live.expectEqual(['item']);
  await live.stop();
}, 120_000);
