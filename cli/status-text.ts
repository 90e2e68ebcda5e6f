/** The status of lanes as text for people: one line a lane, and below it whatever needs attention. Pure. */
import type { UnknownLane } from '../shared/status/read-fleet-status.ts';
import type { LaneStatus } from '../shared/status/read-status.ts';
import { PENDING_LIMIT } from '../shared/status/read-status.ts';
import {
  brokenKeyTexts,
  COPY_REASON_TEXTS,
  isNoProblemOf,
  laneState,
  notesOf,
  shortened,
} from '../shared/status/verdict.ts';
import { copyLine } from './copy-text.ts';
import { formatCount, formatSeconds, formatTable } from './table.ts';

export function statusText(lanes: readonly LaneStatus[], unknown: readonly UnknownLane[]): string {
  const table = formatTable(
    [
      { title: 'lane', align: 'left' },
      { title: 'state', align: 'left' },
      { title: 'pending', align: 'right' },
      { title: 'lag', align: 'right' },
      { title: 'last run', align: 'right' },
      { title: 'rows', align: 'right' },
      { title: 'rate', align: 'right' },
      { title: 'rejected', align: 'right' },
    ],
    [...lanes.map(cells), ...unknown.map(({ lane }) => [lane, 'unknown'])],
  );
  return [
    ...table,
    ...lanes.flatMap(notes),
    ...unknown.flatMap(({ lane, problem }) => ['', `${lane}: ${problem}`]),
  ].join('\n');
}

function cells(lane: LaneStatus): readonly string[] {
  const { lastRunSecondsAgo, rowsPerSecond } = lane;
  return [
    lane.lane,
    laneState(lane),
    `${formatCount(lane.pending)}${lane.pending >= PENDING_LIMIT ? '+' : ''}`,
    formatSeconds(lane.lagSeconds),
    lastRunSecondsAgo === undefined ? 'never' : `${formatSeconds(lastRunSecondsAgo)} ago`,
    formatCount(lane.totalRows),
    rowsPerSecond === undefined ? '' : `${formatCount(rowsPerSecond)}/s`,
    formatCount(lane.rejectedRows),
  ];
}

function notes(lane: LaneStatus): readonly string[] {
  const lines = [
    ...(lane.pausedSecondsAgo === undefined
      ? []
      : [
          `paused ${formatSeconds(lane.pausedSecondsAgo)} ago, changes wait: bucardo resume ${lane.sync} --to ${lane.destination}`,
        ]),
    ...(lane.deadLetterSecondsAgo === undefined
      ? []
      : [
          `a dead letter since ${formatSeconds(lane.deadLetterSecondsAgo)}, tried again by itself; now: bucardo redrive ${lane.sync} --to ${lane.destination}`,
        ]),
    ...(lane.error === undefined
      ? []
      : [
          `${lane.error.code}, ${formatSeconds(lane.error.secondsAgo)} ago, ${lane.failures} in a row: ${lane.error.message}`,
        ]),
    ...lane.problems.map(({ code, message, remedy }) => `${code}: ${message}. ${remedy}`),
    ...lane.held
      .filter(isNoProblemOf(lane))
      .map(
        ({ relation, code, message, retryInSeconds }) =>
          `${relation} waits (${code}), next try in ${formatSeconds(retryInSeconds)}: ${message}`,
      ),
    ...lane.copies.map(copyLine),
    ...lane.uncaptured.map(
      ({ relation, why }) =>
        `${relation} may lack changes (${why}): bucardo apply, then bucardo copy ${lane.sync} --to ${lane.destination} --table ${relation}`,
    ),
    ...brokenKeyTexts(lane),
    ...(lane.sourceMoved ? ['the source was restored or moved; the next run takes it over'] : []),
    ...(lane.tables === 0 ? ['no tables: bucardo check'] : []),
    ...(lane.unapplied.length === 0 ? [] : [`not captured yet: ${shortened(lane.unapplied)}: bucardo apply`]),
    ...lane.copyNeeded.map(
      ({ relation, reason }) =>
        `${relation} needs a copy (${COPY_REASON_TEXTS[reason]}): bucardo copy ${lane.sync} --to ${lane.destination} --table ${relation}`,
    ),
    ...lane.purgeFailures.map(
      ({ relation, code, message, secondsAgo }) =>
        `changes of ${relation} cannot be purged from the source since ${formatSeconds(secondsAgo)} (${code}): ${message}`,
    ),
    ...notesOf(lane),
    ...(lane.rejectedRows === 0
      ? []
      : [
          `${formatCount(lane.rejectedRows)} rejected: bucardo rejected list ${lane.sync} --to ${lane.destination}`,
        ]),
  ];
  return lines.length === 0 ? [] : ['', `${lane.lane}:`, ...lines.map((line) => `  ${line}`)];
}
