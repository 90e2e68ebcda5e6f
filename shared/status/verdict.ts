/**
 * Whether a lane is level: the one place that decides it, for `status`, `kick --wait`, `check` and the demo. Pure. A lane is level
 * only if nothing is known that its target may lack, and nothing is unknown that would have to be known.
 */
import type { CopyReason } from '../capture/control-schema.ts';
import type { LaneStatus } from './read-status.ts';

/** In the order in which they are told: the first one that holds names the lane's state. */
const LANE_STATES = [
  'paused',
  'failing',
  'source moved',
  'key changed',
  'held',
  'copying',
  'needs copy',
  'not applied',
  'never ran',
  'rejected',
  'behind',
  'purge fails',
  'level',
] as const;
type LaneState = (typeof LANE_STATES)[number];

export const COPY_REASON_TEXTS: Readonly<Record<CopyReason, string>> = {
  truncated: 'it was truncated',
  restored: 'the source was restored',
  uncaptured: 'changes of it may have been missed',
  replaced: 'another table has its name now',
  'target restored': 'the target was restored',
};

/** One word or two for how a lane is. */
export function laneState(lane: LaneStatus): LaneState {
  return LANE_STATES.find((state) => HOLDS[state](lane)) ?? 'level';
}

const HOLDS: Readonly<Record<LaneState, (lane: LaneStatus) => boolean>> = {
  paused: ({ pausedSecondsAgo }) => pausedSecondsAgo !== undefined,
  failing: ({ failures, error, deadLetterSecondsAgo }) =>
    failures > 0 || error !== undefined || deadLetterSecondsAgo !== undefined,
  'source moved': ({ sourceMoved }) => sourceMoved,
  'key changed': ({ brokenKeys }) => brokenKeys.length > 0,
  held: ({ held, problems }) => held.length + problems.length > 0,
  copying: ({ copies }) => copies.length > 0,
  'needs copy': ({ copyNeeded, uncaptured }) => copyNeeded.length + uncaptured.length > 0,
  'not applied': ({ unapplied, tables }) => unapplied.length > 0 || tables === 0,
  'never ran': ({ lastRunSecondsAgo }) => lastRunSecondsAgo === undefined,
  rejected: ({ rejectedRows }) => rejectedRows > 0,
  behind: ({ pending }) => pending > 0,
  'purge fails': ({ purgeFailures }) => purgeFailures.length > 0,
  level: () => true,
};

/**
 * What keeps the target from being equal, however much is delivered: for somebody who waits for a lane. In words, each with
 * the way out. Changes that wait are not among them.
 */
export function obstaclesOf(lane: LaneStatus): readonly string[] {
  const { sync, destination, pausedSecondsAgo, sourceMoved, held, copyNeeded, rejectedRows } = lane;
  const to = `${sync} --to ${destination}`;
  return [
    ...(pausedSecondsAgo === undefined ? [] : [`the lane is paused; bucardo resume ${to}`]),
    ...(sourceMoved ? ['the source was restored or moved, and no run has seen it yet'] : []),
    ...brokenKeyTexts(lane),
    ...held.filter(isNoProblemOf(lane)).map(({ message }) => message),
    ...lane.problems.map(({ message, remedy }) => `${message}. ${remedy}`),
    ...copyNeeded.map(
      ({ relation, reason }) =>
        `${relation} needs a copy (${COPY_REASON_TEXTS[reason]}); bucardo copy ${to} --table ${relation}`,
    ),
    ...lane.uncaptured.map(
      ({ relation, why }) =>
        `${relation} may lack changes (${why}); bucardo apply, then bucardo copy ${to} --table ${relation}`,
    ),
    ...(lane.tables === 0 ? ['the lane has no tables; bucardo check'] : []),
    ...(lane.unapplied.length === 0 ? [] : [`not captured yet: ${shortened(lane.unapplied)}; bucardo apply`]),
    ...(rejectedRows === 0
      ? []
      : [
          `${rejectedRows} ${rejectedRows === 1 ? 'row is' : 'rows are'} parked because the target refused them; bucardo rejected list ${to}`,
        ]),
  ];
}

/** Captured keys that the table does not have any more. */
export function brokenKeyTexts({ brokenKeys }: LaneStatus): readonly string[] {
  return brokenKeys.map(
    ({ relation, column }) =>
      `key column ${column} of ${relation} was renamed or dropped, and changes of the table cannot be captured; rename it back, or bucardo uninstall --table ${relation}, then bucardo apply and bucardo copy`,
  );
}

/** A held relation that is told as a problem already is not told twice. */
export function isNoProblemOf({
  problems,
}: LaneStatus): (held: { readonly relation: string; readonly code: string }) => boolean {
  return ({ relation, code }) =>
    !problems.some((problem) => problem.relation === relation && problem.code === code);
}

/** What somebody should know who hears that all changes have arrived. */
export function notesOf({ sync, destination, notCopied }: LaneStatus): readonly string[] {
  if (notCopied.length === 0) return [];
  const tables = shortened(notCopied.map(({ relation }) => relation));
  return [
    `not copied, because the target had rows, which may differ: ${tables}; bucardo copy ${sync} --to ${destination}, or with --accept to keep the rows`,
  ];
}

const MOST_NAMES = 5;

/** The first few of many names. */
export function shortened(names: readonly string[]): string {
  const rest = names.length - MOST_NAMES;
  return rest <= 1 ? names.join(', ') : [...names.slice(0, MOST_NAMES), `and ${rest} more`].join(', ');
}
