/** Two runs of one lane at once, as a queue that delivers twice makes them; one may sleep for long and wake up too late. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { withConnection } from '../../shared/postgres/connection.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { smallChunks } from '../support/crash-scenes.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { LaneProcess } from '../support/lane-process.ts';
import { type Asked, type Decision, startPostgresProxy } from '../support/postgres-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLE = `
  create table big (id bigint primary key, filler text) with (fillfactor = 10, autovacuum_enabled = false);
  insert into big select n, repeat('x', 100) from generate_series(1, 350) n`;

interface SleepingRun {
  readonly process: LaneProcess;
  /** Ends its sleep; its connections are as they were. */
  wake(): void;
}

/** Starts a run in a process of its own and freezes it before the first thing that it asks and `place` picks. */
async function runUntil(lane: LaneFixture, place: (asked: Asked) => boolean): Promise<SleepingRun> {
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  const process = new LaneProcess({
    sync: lane.sync,
    destination: 'reports',
    urls: { [SOURCE]: proxy.url(SOURCE), reports: proxy.url('reports') },
  });
  onTestFinished(async () => {
    await process.kill();
    await proxy.close();
  });
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
  const { promise: asleep, resolve: sleepNow } = Promise.withResolvers<void>();
  let frozen = false;
  proxy.decide = async (asked): Promise<Decision> => {
    if (!frozen && place(asked)) {
      frozen = true;
      process.signal('SIGSTOP');
      sleepNow();
      await woken;
    }
    return 'pass';
  };
  await process.go();
  await Promise.race([
    asleep,
    process.ended().then(({ output }) => Promise.reject(new Error(`never came there: ${output}`))),
  ]);
  return {
    process,
    wake() {
      process.signal('SIGCONT');
      wake();
    },
  };
}

/** The server ends the sleeper's session, as it does when a connection is found dead. */
async function endTargetSession(lane: LaneFixture): Promise<void> {
  const sessions = `from pg_stat_activity where datname = current_database() and application_name like 'bucardo lane%'`;
  await withConnection({ database: 'test', url: lane.targetUrl(), purpose: 'test' }, async (db) => {
    expect(await db.run(`select pg_terminate_backend(pid) ${sessions}`)).toBe(1);
    await waitFor(async () => (await db.rows(`select ${sessions}`)).length === 0);
  });
}

describe('a second run of a lane', () => {
  test('waits for the first, and gives its kick back when that takes long', async () => {
    const lane = await createLaneFixture({ schema: TABLE });
    await lane.source.script(`update big set filler = 'new' where id = 1`);
    const first = await runUntil(lane, ({ server, sql }) => server === 'reports' && sql === 'commit');
    const startedAtMs = performance.now();
    await expect(lane.run()).rejects.toMatchObject({ code: 'BUC-LANE-BUSY', retry: 'now' });
    expect(performance.now() - startedAtMs).toBeGreaterThan(3_000);
    expect(await lane.status()).toMatchObject({ code: null, failures: 0 });
    first.wake();
    expect(await first.process.ended()).toMatchObject({ exitCode: 0 });
    expect(await lane.run()).toMatchObject({ rows: 0 });
    await lane.expectEqual();
  });

  test('starts as soon as the first has ended', async () => {
    const lane = await createLaneFixture({ schema: TABLE });
    await lane.source.script(`update big set filler = 'new' where id = 1`);
    const first = await runUntil(lane, ({ server, sql }) => server === 'reports' && sql === 'commit');
    const second = lane.run();
    await waitFor(
      async () =>
        (await lane.target.rows(`select from pg_locks where locktype = 'advisory' and not granted`))
          .length === 1,
    );
    first.wake();
    expect(await second).toMatchObject({ more: false });
    expect(await first.process.ended()).toMatchObject({ exitCode: 0 });
    await lane.expectEqual();
  });

  test('that runs beside others again and again ends equal', async () => {
    const lane = await createLaneFixture({ schema: TABLE, batchRows: 7 });
    for (let round = 0; round < 10; round += 1) {
      await lane.source.script(`
        update big set filler = 'round ${round}' where id % 10 = ${round};
        delete from big where id = ${round + 300}`);
      await Promise.all([lane.run(), lane.run(), lane.run()]);
    }
    await lane.expectEqual();
  });
});

/** The first run sleeps at a place, loses its session, wakes up after others have been at work. */
async function overtaken(
  lane: LaneFixture,
  place: (asked: Asked) => boolean,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const sleeper = await runUntil(lane, place);
  await endTargetSession(lane);
  await meanwhile();
  sleeper.wake();
  await sleeper.process.ended();
}

describe('a run that was thought dead and wakes up', () => {
  const places: readonly (readonly [string, (asked: Asked) => boolean])[] = [
    ['before it reads', ({ sql }) => sql.startsWith('begin isolation level repeatable read')],
    ['with rows in its hands', ({ server, kind }) => server === 'reports' && kind === 'copy data'],
    ['before its commit', ({ server, sql }) => server === 'reports' && sql === 'commit'],
    ['before it raises its number', ({ sql }) => sql.includes('update bucardo.progress set run')],
    ['before it records its progress', ({ sql }) => sql.includes('update bucardo.progress set mark')],
    ['before it says how it went', ({ sql }) => sql.includes('update bucardo.lane_status')],
  ];
  test.each(places)('%s does not bring back older rows', async (_, place) => {
    const lane = await createLaneFixture({ schema: TABLE });
    await lane.source.script(`
      insert into big select n, 'more' from generate_series(1001, 2200) n;
      update big set filler = 'old' where id < 300`);
    await overtaken(lane, place, async () => {
      await lane.source.script(
        `update big set filler = 'new' where id < 200; delete from big where id > 2000`,
      );
      await lane.run();
      await lane.expectEqual();
    });
    await lane.expectEqual();
    await lane.source.script(`update big set filler = 'newest' where id = 2`);
    await lane.run();
    await lane.expectEqual();
  });

  test('after the commit of a chunk does not record a later chunk as copied', async () => {
    const lane = await copiedLane();
    const sleeper = await runUntil(lane, ({ sql }) => sql.includes('update bucardo.copy set done_to'));
    await endTargetSession(lane);
    // Another run repeats the chunk, opens the next one, and dies before that has arrived.
    const other = await runUntil(lane, afterOpenings(1));
    sleeper.wake();
    await sleeper.process.ended();
    await other.process.kill();
    await lane.run();
    await lane.expectEqual();
  });

  test('before it opens a chunk does not move the end of another run’s chunk', async () => {
    const lane = await copiedLane();
    const sleeper = await runUntil(lane, ({ sql }) => sql.includes('set chunk_open = true'));
    await endTargetSession(lane);
    await lane.source.script('delete from big where id < 20');
    const other = await runUntil(lane, ({ sql }) => sql.includes('update bucardo.copy set done_to'));
    // It is at the target already; the sleeper's chunk would have ended 19 keys before the other's.
    await lane.source.script('delete from big where id = (select chunk_to[1]::int - 5 from bucardo.copy)');
    sleeper.wake();
    await sleeper.process.ended();
    other.wake();
    expect(await other.process.ended()).toMatchObject({ exitCode: 0 });
    await lane.expectEqual();
  });

  test('at the end of a copy does not end the copy that was asked for meanwhile', async () => {
    const lane = await copiedLane();
    const sleeper = await runUntil(lane, ({ sql }) => sql.includes('delete from bucardo.copy '));
    await endTargetSession(lane);
    await requestCopy(lane.source, { sync: lane.sync.name });
    const other = await runUntil(lane, afterOpenings(1));
    sleeper.wake();
    await sleeper.process.ended();
    await other.process.kill();
    await lane.run();
    await lane.expectEqual();
  });
});

/** To be copied in four chunks. */
async function copiedLane(): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema: TABLE, copy: 'always' });
  await lane.source.script(smallChunks('big'));
  return lane;
}

/** What a run asks first after it has opened so many chunks. */
function afterOpenings(chunks: number): (asked: Asked) => boolean {
  let opened = 0;
  return ({ sql }) => {
    if (opened === chunks) return true;
    if (sql.includes('set chunk_open = true')) opened += 1;
    return false;
  };
}
