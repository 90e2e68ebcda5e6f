/**
 * The part of the demo in which the shop is busy: applications write, one target is stopped and started again, and the lanes
 * are shown meanwhile. What is said about them is read from the source and counted by the applications.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatCount, formatSeconds } from '../../cli/table.ts';
import { type Moment, type Observed, readMoment, type ShownLane, showMoment } from './moment.ts';
import type { Servers } from './servers.ts';
import { startWorkload, type WorkloadCounts } from './workload.ts';

export interface BusyTime extends Observed {
  readonly servers: Servers;
  readonly seconds: number;
  readonly seed: number;
}

const LOOK_EVERY_MS = 1_000;

/** Short enough that a failing lane's next try is not far off when the target is back. */
const LONGEST_OUTAGE_SECONDS = 5;

/** @returns what the applications have committed */
export async function beBusy(busy: BusyTime): Promise<WorkloadCounts> {
  const { servers, seconds, seed, screen, signal } = busy;
  const stopAtSeconds = seconds / 3;
  const startAtSeconds = stopAtSeconds + Math.min(LONGEST_OUTAGE_SECONDS, seconds / 3);
  const workload = await startWorkload(servers.shop.url(), seed);
  let outage: 'to come' | 'now' | 'catching up' | 'over' = 'to come';
  let before: Moment | undefined;
  let lastChanges = 0;
  let lastSeconds = 0;
  const startedAtMs = performance.now();
  const elapsed = (): number => (performance.now() - startedAtMs) / 1000;
  try {
    while (elapsed() < seconds) {
      const nextLookMs = LOOK_EVERY_MS - ((performance.now() - startedAtMs) % LOOK_EVERY_MS);
      await Promise.race([sleep(nextLookMs, undefined, { signal }), workload.finished]);
      const moment = await readMoment(busy);
      const { changes } = workload.counts();
      const now = elapsed();
      const rate = Math.round((changes - lastChanges) / (now - lastSeconds));
      lastChanges = changes;
      lastSeconds = now;
      showMoment(screen, `${Math.round(now)} s of ${seconds} · ${formatCount(rate)} changes/s`, moment);

      if (outage === 'to come' && now >= stopAtSeconds) {
        await servers.archive.stop('fast');
        before = moment;
        outage = 'now';
        screen.say(
          '   Now the server of archive is stopped. Its changes wait at the source; reports must not notice.',
        );
      } else if (outage === 'now' && now >= startAtSeconds) {
        screen.say(
          `   ${outageText(before, moment)}`,
          '   Now archive is started again. Nobody tells the lane.',
        );
        await servers.archive.start();
        outage = 'catching up';
      } else if (outage === 'catching up' && laneTo('archive', moment)?.failures === 0) {
        screen.say('   archive is being written again, by the lane itself.');
        outage = 'over';
      }
    }
  } finally {
    await workload.stop();
    if (!servers.archive.running && !signal.aborted) await servers.archive.start();
  }
  return workload.counts();
}

function outageText(before: Moment | undefined, now: Moment): string {
  const reports = laneTo('reports', now);
  const archive = laneTo('archive', now);
  const earlier = before === undefined ? undefined : laneTo('reports', before);
  const delivered = (reports?.delivered ?? 0) - (earlier?.delivered ?? 0);
  return (
    `Meanwhile ${formatCount(delivered)} changes went to reports (lag ${formatSeconds(reports?.lagSeconds ?? 0)}), ` +
    `and ${formatCount(archive?.pending ?? 0)} changes wait for archive (lag ${formatSeconds(archive?.lagSeconds ?? 0)}).`
  );
}

function laneTo(destination: string, { lanes }: Moment): ShownLane | undefined {
  return lanes.find((lane) => lane.destination === destination);
}
