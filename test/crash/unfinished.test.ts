/** A run that is killed in the middle of a batch begins the next time with a smaller one, until it gets through. */
import { expect, onTestFinished, test } from 'vitest';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { LaneProcess } from '../support/lane-process.ts';
import { startPostgresProxy } from '../support/postgres-proxy.ts';

const TABLE = 'create table orders (id int primary key, note text)';

/** Runs the lane in processes that die when the target would commit more than so many changes. Returns what they had begun. */
async function runWithLittleTime(lane: LaneFixture, most: number): Promise<readonly number[]> {
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  onTestFinished(() => proxy.close());
  const begun: number[] = [];
  for (;;) {
    const child = new LaneProcess({
      sync: lane.sync,
      destination: 'reports',
      urls: { [SOURCE]: proxy.url(SOURCE), reports: proxy.url('reports') },
    });
    onTestFinished(async () => void (await child.kill()));
    let writes = false;
    proxy.decide = async ({ server, sql }) => {
      if (server !== 'reports') return 'pass';
      writes = sql.startsWith('commit') ? writes : writes || /"public"|from stdin/.test(sql);
      if (!writes || !sql.startsWith('commit')) return 'pass';
      writes = false;
      const deltas = await note(lane);
      if (deltas === null || deltas <= most) return 'pass';
      begun.push(deltas);
      proxy.decide = () => 'cut before';
      await child.kill();
      return 'cut before';
    };
    await child.go();
    const { killed, exitCode, output } = await child.ended();
    if (killed) continue;
    expect(exitCode, output).toBe(0);
    return begun;
  }
}

async function note({ source }: LaneFixture): Promise<number | null> {
  const { deltas } = await source.row<{ deltas: number | null }>(
    `select begun_deltas::int as deltas from bucardo.lane_status`,
  );
  return deltas;
}

test('a backlog whose batches are killed arrives in smaller ones', { timeout: 60_000 }, async () => {
  const lane = await createLaneFixture({ schema: TABLE, batchRows: 4_500 });
  await lane.source.script(
    `do $$ begin for i in 1..6000 loop insert into orders values (i, 'new'); commit; end loop; end $$`,
  );
  const begun = await runWithLittleTime(lane, 800);
  expect(begun.slice(0, 2)).toEqual([4_500, 1_125]);
  await lane.expectEqual();
  expect(await note(lane)).toBeNull();
});

test('a transaction that is killed arrives in parts', { timeout: 60_000 }, async () => {
  const lane = await createLaneFixture({ schema: TABLE });
  await lane.source.script(`insert into orders select n, 'new' from generate_series(1, 6000) n`);
  const begun = await runWithLittleTime(lane, 1_500);
  expect(begun[0]).toBe(6_000);
  await lane.expectEqual();
  expect(await note(lane)).toBeNull();
  const parts = await lane.target.rows<{ rows: number }>(
    `select count(*)::int as rows from orders group by xmin::text`,
  );
  for (const { rows } of parts) expect(rows).toBeLessThanOrEqual(1_500);
});
