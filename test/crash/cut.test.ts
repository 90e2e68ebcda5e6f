/**
 * A connection breaks at each thing that a run asks, one after the other: before the server has seen it, or after the
 * server has done it but before the answer. The run reports one clear error and the next one ends equal. The two ways take
 * turns; `BUCARDO_CRASH_ALL=1` tries both at every place.
 */
import { expect, onTestFinished, test } from 'vitest';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import {
  changesScene,
  copyScene,
  type CrashScene,
  expectNothingLost,
  isWorthTrying,
} from '../support/crash-scenes.ts';
import { SOURCE } from '../support/lane-fixture.ts';
import { labeller, startPostgresProxy } from '../support/postgres-proxy.ts';

/** How long a run may take that has lost a connection. */
const RUN_MS = 20_000;

const WAYS = ['cut before', 'cut after'] as const;
const ALL = process.env['BUCARDO_CRASH_ALL'] === '1';

/** Returns how many different places there were. */
async function cutEverywhere(scene: CrashScene): Promise<number> {
  const { lane } = scene;
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  onTestFinished(() => proxy.close());
  const cutAt = new Set<string>();
  let completed = 0;
  for (let round = 1; completed < 2; round += 1) {
    await scene.prepare(round);
    proxy.forget();
    const labelOf = labeller();
    let place = '';
    proxy.decide = (asked) => {
      const { label, time } = labelOf(asked);
      if (place !== '' || !isWorthTrying(label, time)) return 'pass';
      const way = WAYS.find((way) => !cutAt.has(`${label}, ${way}`));
      if (way === undefined || (!ALL && cutAt.has(label))) return 'pass';
      const chosen = ALL ? way : (WAYS[cutAt.size % 2] ?? way);
      place = label;
      cutAt.add(ALL ? `${label}, ${chosen}` : label);
      return chosen;
    };
    const connections = new ConnectionCache();
    const run = runLane(lane.lane, {
      fleet: lane.fleet,
      resolveUrl: async ({ name }) => proxy.url(name),
      log: lane.log,
      deadlineMs: Date.now() + RUN_MS,
      connections,
    });
    const outcome = await within(run, place);
    await connections.close();
    await expectNothingLost(lane);
    if (outcome instanceof Error) {
      expect(outcome, place).toBeInstanceOf(BucardoError);
      expect(outcome, place).toMatchObject({ code: 'BUC-DB-UNREACHABLE', retry: 'later' });
      expect(outcome.message, place).toContain(place.startsWith(SOURCE) ? SOURCE : 'reports');
      await lane.run();
      completed = 0;
    } else if (place === '') completed += 1;
    await scene.verify();
  }
  return cutAt.size;
}

/** The error that the run ended with, if it did; fails if it does not end at all. */
async function within(run: Promise<unknown>, place: string): Promise<Error | undefined> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`the run hangs after a cut at ${place}`)), RUN_MS);
  try {
    return await Promise.race([
      late,
      run.then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      ),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

test('a connection that breaks anywhere while changes are applied is one clear error and loses nothing', async () => {
  expect(await cutEverywhere(await changesScene())).toBeGreaterThan(50);
}, 280_000);

test('a connection that breaks anywhere during a copy is one clear error and loses nothing', async () => {
  expect(await cutEverywhere(await copyScene())).toBeGreaterThan(40);
}, 280_000);
