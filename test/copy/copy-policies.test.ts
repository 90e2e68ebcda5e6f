/** When tables are copied, when they are left alone, and how a copy goes on after an interruption. */
import { describe, expect, test } from 'vitest';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import type { LaneRunOutcome } from '../../shared/replicate/lane-run.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { smallChunks } from '../support/crash-scenes.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { type Decision, startPostgresProxy } from '../support/postgres-proxy.ts';

const TABLE = `
  create table big (id bigint primary key, filler text) with (fillfactor = 10, autovacuum_enabled = false)`;
const FILLED = `${TABLE}; insert into big select n, repeat('x', 100) from generate_series(1, 700) n`;

async function chunkedLane(
  target = TABLE,
  copy: 'if-empty' | 'always' | 'never' = 'if-empty',
): Promise<LaneFixture> {
  const lane = await createLaneFixture({ schema: { source: FILLED, target }, copy });
  await lane.source.script(smallChunks('big'));
  return lane;
}

/** A run whose time is up when it looks at the clock for that time. */
async function runUntilLook(lane: LaneFixture, look: number): Promise<LaneRunOutcome> {
  const connections = new ConnectionCache();
  let looks = 0;
  const outcome = await runLane(lane.lane, {
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => (name === SOURCE ? lane.sourceUrl : lane.targetUrl()),
    log: lane.log,
    connections,
    get deadlineMs() {
      looks += 1;
      return looks >= look ? 0 : Number.POSITIVE_INFINITY;
    },
  });
  await connections.close();
  return outcome;
}

async function idsAtTarget(lane: LaneFixture): Promise<number> {
  const { ids } = await lane.target.row<{ ids: number }>('select count(*)::int as ids from big');
  return ids;
}

describe('if-empty', () => {
  test('fills an empty table', async () => {
    const lane = await chunkedLane();
    expect(await lane.run()).toMatchObject({ rows: 700, more: false });
    await lane.expectEqual();
  });

  test('leaves a filled table alone, and changes since the lane was registered arrive there', async () => {
    const lane = await chunkedLane(
      `${TABLE}; insert into big values (1, 'theirs'), (2, 'theirs'), (5000, 'theirs')`,
    );
    await lane.source.script(`update big set filler = 'changed' where id = 2; delete from big where id = 1`);
    expect(await lane.run()).toMatchObject({ more: false });
    expect(await lane.target.rows('select id, filler from big order by id')).toEqual([
      { id: '2', filler: 'changed' },
      { id: '5000', filler: 'theirs' },
    ]);
    expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
  });

  test('keeps the changes for a table that cannot be copied yet and is filled by hand then', async () => {
    const lane = await chunkedLane('');
    await lane.source.script(`update big set filler = 'first' where id = 1`);
    await lane.run();
    await lane.source.script(`update big set filler = 'second' where id = 2`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ code: 'BUC-TABLE-MISSING' }]);
    await lane.target.script(`${FILLED}; update big set filler = repeat('x', 100)`);
    await lane.runLater();
    await lane.runLater();
    await lane.expectEqual();
  });
});

describe('always', () => {
  test('replaces what is in a filled table', async () => {
    const lane = await chunkedLane(
      `${TABLE}; insert into big values (1, 'theirs'), (5000, 'theirs')`,
      'always',
    );
    await lane.run();
    await lane.expectEqual();
  });

  test('that the target does not let empty its table holds this table alone', async () => {
    const tables = `${FILLED}; create table other (id int primary key)`;
    const lane = await createLaneFixture({
      schema: {
        source: tables,
        target: `${tables};
          create table mine (big bigint references big);
          insert into mine values (1)`,
      },
      targetRole: 'writer',
      copy: 'always',
    });
    await lane.source.script('insert into other values (1)');
    await lane.run();
    expect((await lane.held()).map(({ table }) => table)).toEqual(['public.big']);
    await lane.expectEqual(['public.other']);
    await lane.target.script('drop table mine; delete from big where id > 600');
    await lane.runLater();
    await lane.expectEqual();
  });
});

test('never brings only what is changed', async () => {
  const lane = await chunkedLane(TABLE, 'never');
  await lane.source.script(`update big set filler = 'changed' where id <= 2`);
  await lane.run();
  expect(await idsAtTarget(lane)).toBe(2);
});

describe('a copy', () => {
  test('that runs out of time says that there is more, keeps its place and goes on later', async () => {
    const lane = await chunkedLane();
    const counts: number[] = [];
    for (let run = 0; ; run += 1) {
      const { more } = await runUntilLook(lane, 5);
      counts.push(await idsAtTarget(lane));
      if (!more) break;
      expect(run).toBeLessThan(20);
      await lane.source.script(`update big set filler = 'run ${run}' where id % 10 = 0`);
    }
    // Every run brought a chunk or two, none began anew, and what was there could be used meanwhile.
    expect(counts.length).toBeGreaterThan(3);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    await lane.run();
    await lane.expectEqual();
  });

  test('that is asked for again in its middle begins anew and ends equal', async () => {
    const lane = await chunkedLane();
    const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
    for (const place of [
      'set chunk_open = true',
      'copy "public"."big"',
      'update bucardo.copy set done_to',
      'truncate',
    ]) {
      proxy.forget();
      let times = 0;
      proxy.decide = async ({ sql }): Promise<Decision> => {
        if (sql.includes(place)) times += 1;
        if (times === 2 || (times === 1 && place === 'truncate')) {
          times = 10;
          await lane.source.script(
            `delete from big where id between ${place.length * 10} and ${place.length * 10 + 5}`,
          );
          await requestCopy(lane.source, { sync: lane.sync.name });
        }
        return 'pass';
      };
      await requestCopy(lane.source, { sync: lane.sync.name });
      const connections = new ConnectionCache();
      await runLane(lane.lane, {
        fleet: lane.fleet,
        resolveUrl: async ({ name }) => proxy.url(name),
        log: lane.log,
        connections,
        deadlineMs: Date.now() + 30_000,
      });
      await connections.close();
      expect(times, place).toBeGreaterThanOrEqual(10);
      expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
      await lane.expectEqual();
    }
    await proxy.close();
  });

  test('is asked of one target and table alone', async () => {
    const tables = `${FILLED}; create table other (id int primary key); insert into other values (1)`;
    const lane = await createLaneFixture({ schema: tables, targets: 2 });
    for (const name of ['reports', 'reports_2']) {
      const session = await lane.session(lane.targetUrl(name));
      await session.script(`delete from big where id < 100; delete from other`);
    }
    const asked = await requestCopy(lane.source, {
      sync: lane.sync.name,
      destination: 'reports_2',
      relation: { schema: 'public', table: 'big' },
    });
    expect(asked).toEqual([{ destination: 'reports_2', schema: 'public', table: 'big' }]);
    for (const each of lane.lanes) await lane.run(each);
    await lane.expectEqual(['public.big'], 'reports_2');
    expect(await idsAtTarget(lane)).toBe(601);
    expect(await lane.target.rows('select from other')).toEqual([]);
  });
});

describe('TRUNCATE on the source', () => {
  test('is reported as a copy that is needed, until a copy is asked for', async () => {
    const lane = await chunkedLane();
    await lane.run();
    await lane.source.script(`truncate big; insert into big values (7, 'after')`);
    await lane.run();
    const needed = 'select table_name as table, reason from bucardo.copy_needed';
    expect(await lane.source.rows(needed)).toEqual([{ table: 'big', reason: 'truncated' }]);
    // Nothing is taken away from a target without a person's word.
    expect(await idsAtTarget(lane)).toBe(700);
    await requestCopy(lane.source, { sync: lane.sync.name });
    await lane.run();
    expect(await lane.source.rows(needed)).toEqual([]);
    await lane.expectEqual();
  });

  test('in the middle of a copy is not forgotten by it', async () => {
    const lane = await chunkedLane();
    await runUntilLook(lane, 5);
    expect(await idsAtTarget(lane)).toBeGreaterThan(0);
    await lane.source.script(`truncate big; insert into big values (7, 'after')`);
    await lane.run();
    expect(await lane.source.rows('select reason from bucardo.copy_needed')).toEqual([
      { reason: 'truncated' },
    ]);
    await requestCopy(lane.source, { sync: lane.sync.name });
    await lane.run();
    await lane.expectEqual();
  });
});
