/** How the fleet is at one moment, read from the source and the queue, and what people get to see of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { copyLine } from '../../cli/copy-text.ts';
import { formatCount, formatSeconds, formatTable } from '../../cli/table.ts';
import { lanesOf } from '../../shared/config/lanes.ts';
import type { Fleet } from '../../shared/config/types.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import type { KickQueue } from '../../shared/queue/kick-queue.ts';
import { type LaneStatus, readStatus } from '../../shared/status/read-status.ts';
import { laneState } from '../../shared/status/verdict.ts';
import type { Screen } from './screen.ts';

/** A lane, and how many of the captured changes its destination has. */
export interface ShownLane extends LaneStatus {
  readonly delivered: number;
}

export interface Moment {
  /** In the order of the fleet. */
  readonly lanes: readonly ShownLane[];
  /** Kicks that wait, and kicks that a run has or that wait for another try. */
  readonly waiting: number;
  readonly inFlight: number;
}

export interface Observed {
  /** A session of the demo's own at the source. */
  readonly source: Connection;
  readonly queue: Pick<KickQueue, 'depth'>;
  readonly fleet: Fleet;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

export async function readMoment({ source, queue, fleet }: Observed): Promise<Moment> {
  const delivered = await countDelivered(source);
  const statuses = await readStatus(source, [...fleet.syncs.values()]);
  const { visible, inFlight } = await queue.depth();
  const lanes = lanesOf(fleet).flatMap(({ id }) => {
    const status = statuses.find(({ lane }) => lane === id);
    return status === undefined ? [] : [{ ...status, delivered: delivered.get(id) ?? 0 }];
  });
  return { lanes, waiting: visible, inFlight };
}

/** By lane, the deltas that its mark covers. None is purged while the demo runs: the retention is longer. */
async function countDelivered(source: Connection): Promise<ReadonlyMap<string, number>> {
  const tables = await source.rows<{ name: string }>(`select delta_name as name from bucardo.relation`);
  const parts = tables.map(
    ({ name }) =>
      `(select count(*) from bucardo.${quoteIdentifier(name)} where txid_visible_in_snapshot(txid, p.mark))`,
  );
  const rows = await source.rows<{ lane: string; deltas: string }>(
    `select p.sync || '/' || p.destination as lane, ${parts.join(' + ')} as deltas from bucardo.progress p`,
  );
  return new Map(rows.map(({ lane, deltas }) => [lane, Number(deltas)]));
}

function isLevel({ lanes }: Moment): boolean {
  return lanes.length > 0 && lanes.every((lane) => laneState(lane) === 'level');
}

const LOOK_EVERY_MS = 250;

/**
 * Shows the lanes until nothing is left to do.
 * @returns whether that was so before the time was up
 */
export async function untilLevel(observed: Observed, head: string, timeoutSeconds: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutSeconds * 1000;
  for (;;) {
    const moment = await readMoment(observed);
    showMoment(observed.screen, head, moment);
    if (isLevel(moment)) return true;
    if (performance.now() > deadlineMs) return false;
    await sleep(LOOK_EVERY_MS, undefined, { signal: observed.signal });
  }
}

export function showMoment(screen: Screen, head: string, { lanes, waiting, inFlight }: Moment): void {
  const queue = `queue: ${waiting} waiting, ${inFlight} in work`;
  const table = formatTable(
    [
      { title: 'lane', align: 'left' },
      { title: 'state', align: 'left' },
      { title: 'pending', align: 'right' },
      { title: 'lag', align: 'right' },
      { title: 'delivered', align: 'right' },
      { title: '', align: 'left' },
    ],
    lanes.map((lane) => [
      lane.lane,
      laneState(lane),
      formatCount(lane.pending),
      formatSeconds(lane.lagSeconds),
      formatCount(lane.delivered),
      lane.error?.code ?? '',
    ]),
  );
  const copies = lanes.flatMap(({ lane, copies }) => copies.map((copy) => `${lane}  ${copyLine(copy)}`));
  screen.show(
    [`${head} · ${queue}`, '', ...table, ...copies],
    [head, queue, ...lanes.map(plain)].join(' · '),
  );
}

function plain(lane: ShownLane): string {
  const copied = lane.copies.reduce((rows, copy) => rows + copy.rowsCopied, 0);
  const figures =
    lane.copies.length > 0
      ? `${lane.copies.length} tables to go, ${formatCount(copied)} rows of the present one`
      : `${formatCount(lane.pending)} pending, lag ${formatSeconds(lane.lagSeconds)}, ${formatCount(lane.delivered)} delivered`;
  return `${lane.lane} ${laneState(lane)}, ${figures}`;
}
