/** One refused row in a huge batch: the process needs no more memory than for a small one. */
import process from 'node:process';
import { expect, test } from 'vitest';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { LaneProcess } from '../support/lane-process.ts';

/** Of one transaction. With 3,000,000 it takes minutes. */
const ROWS = Number(process.env['BUCARDO_TEST_REFUSED_ROWS'] ?? 300_000);

/** What a lane's process may take beyond Node itself and what it has loaded. */
const MOST_MIB = 128;

test.each([undefined, 'writer'] as const)(
  'a refused row in a huge batch takes no more memory than in a small one, with the target role %s',
  async (targetRole) => {
    const table = `create table orders (id int primary key, amount int, note text)`;
    const lane = await createLaneFixture({
      schema: { source: table, target: `${table}; alter table orders add check (amount < 10)` },
      targetRole,
      batchRows: ROWS,
    });
    await lane.source.script(`insert into orders values (-1, 10, 'bad'), (-2, 1, 'good')`);
    const small = await memoryOfRun(lane);
    await lane.source.script(`
      insert into orders select n, case when n = ${ROWS - 1000} then 10 else 1 end, 'note ' || n
      from generate_series(1, ${ROWS}) n`);
    const large = await memoryOfRun(lane);
    expect(new Set((await lane.rejected()).map(({ key }) => key[0]))).toEqual(
      new Set(['-1', String(ROWS - 1000)]),
    );
    expect(await lane.target.row(`select count(*)::int from orders`)).toEqual({ count: ROWS });
    process.stdout.write(`refused row among ${ROWS}: ${large} MiB, among two: ${small} MiB\n`);
    expect(large - small).toBeLessThan(MOST_MIB);
  },
  600_000,
);

async function memoryOfRun(lane: LaneFixture): Promise<number> {
  const child = new LaneProcess({
    sync: lane.sync,
    destination: lane.lane.destination,
    urls: { [SOURCE]: lane.sourceUrl, reports: lane.laneUrl() },
  });
  await child.go();
  const { exitCode, output } = await child.ended();
  expect(exitCode, output).toBe(0);
  const last =
    output
      .trim()
      .split('\n')
      .findLast((line) => line.includes('mostMemoryKb')) ?? '';
  return Math.round((JSON.parse(last) as { mostMemoryKb: number }).mostMemoryKb / 1024);
}
