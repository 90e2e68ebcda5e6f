/**
 * The process that runs a lane is killed with SIGKILL before each thing that it asks of a server, one after the other, so at
 * every boundary there is: the servers then have done all that came before and nothing of what comes after. Whatever it was,
 * the next run ends equal.
 */
import { expect, onTestFinished, test } from 'vitest';
import {
  changesScene,
  copyScene,
  type CrashScene,
  expectNothingLost,
  isWorthTrying,
  largeScene,
} from '../support/crash-scenes.ts';
import { SOURCE } from '../support/lane-fixture.ts';
import { LaneProcess } from '../support/lane-process.ts';
import { labeller, startPostgresProxy } from '../support/postgres-proxy.ts';

/** Returns where the process was killed, each followed by a complete run and checked. */
async function killEverywhere(scene: CrashScene): Promise<ReadonlySet<string>> {
  const { lane } = scene;
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  onTestFinished(() => proxy.close());
  const start = (): LaneProcess => {
    const child = new LaneProcess({
      sync: lane.sync,
      destination: 'reports',
      urls: { [SOURCE]: proxy.url(SOURCE), reports: proxy.url('reports') },
    });
    onTestFinished(async () => void (await child.kill()));
    return child;
  };

  const killedAt = new Set<string>();
  let next = start();
  let completed = 0;
  for (let round = 1; ; round += 1) {
    const child = next;
    next = start();
    await scene.prepare(round);
    proxy.forget();
    const labelOf = labeller();
    proxy.decide = async (asked) => {
      const { label, time } = labelOf(asked);
      if (killedAt.has(label) || !isWorthTrying(label, time)) return 'pass';
      killedAt.add(label);
      proxy.decide = () => 'cut before';
      await child.kill();
      return 'cut before';
    };
    await child.go();
    const end = await child.ended();
    await expectNothingLost(lane);
    if (!end.killed) {
      expect(end, end.output).toMatchObject({ exitCode: 0 });
      await scene.verify();
      // The scene's rounds alternate: both kinds have to be through.
      completed += 1;
      if (completed === 2) return killedAt;
      continue;
    }
    completed = 0;
    await lane.run();
    await scene.verify();
  }
}

function expectPlaces(killedAt: ReadonlySet<string>, places: readonly RegExp[]): void {
  const all = [...killedAt].join('\n');
  for (const place of places) expect(all, String(place)).toMatch(place);
}

test(
  'a run that is killed anywhere while it applies changes loses nothing',
  { timeout: 280_000 },
  async () => {
    const killedAt = await killEverywhere(await changesScene());
    expectPlaces(killedAt, [
      /reports query begin; set local lock_timeout/,
      /east query begin isolation level repeatable read/,
      /east query copy \(select t."id", t."filler"/,
      /reports copy data/,
      /reports copy done/,
      /reports query savepoint rows/,
      /reports query commit/,
      /reports prepared insert into bucardo.lane/,
      /reports prepared update bucardo.lane set writes/,
      /east prepared update bucardo.progress set run/,
      /east prepared update bucardo.progress set mark/,
      /east prepared with refused as \( select array/,
      /east query commit/,
      /reports query select pg_catalog.pg_advisory_unlock/,
      /east prepared update bucardo.lane_status/,
    ]);
  },
);

test('a run that is killed anywhere during a copy loses nothing', { timeout: 280_000 }, async () => {
  const killedAt = await killEverywhere(await copyScene());
  expectPlaces(killedAt, [
    /reports query .*truncate/,
    /east prepared with begun as \( update bucardo.copy (c )?set state = 'copying'/,
    /east prepared update bucardo.copy set chunk_open = true.* #2/,
    /reports query copy "public"."big"/,
    /reports query commit/,
    /east prepared with closed as \( update bucardo.copy set done_to/,
    /east prepared with ended as \( delete from bucardo.copy/,
  ]);
});

test(
  'a run that is killed anywhere while it delivers a large transaction in parts loses nothing',
  { timeout: 280_000 },
  async () => {
    const killedAt = await killEverywhere(await largeScene());
    expectPlaces(killedAt, [
      /east prepared insert into bucardo.large_transaction/,
      /east prepared update bucardo.large_transaction set places/,
      /east prepared delete from bucardo.large_transaction/,
      /east query lock table/,
      /reports query commit/,
      /east query commit/,
    ]);
  },
);
