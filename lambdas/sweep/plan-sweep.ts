/**
 * Which lanes a sweep kicks. Pure, and without memory: it is decided from what the source says about each lane, so a
 * sweep may be left out, repeated or overlap another. Where it could go either way a lane is kicked: that costs one
 * short run.
 */
import { nextDue } from '../../shared/config/schedule.ts';
import type { Lane, Schedule } from '../../shared/config/types.ts';
import type { KickReason } from '../../shared/queue/kick.ts';
import { MAX_RETRY_DELAY_SECONDS } from '../../shared/queue/retry-delay.ts';

/** A lane as its source has it. Ages are in seconds by the source's clock; undefined if it never happened. */
export interface LaneSituation {
  readonly lane: Lane;
  readonly schedule: Schedule | undefined;
  readonly autokick: boolean;
  readonly runStartedSecondsAgo: number | undefined;
  /** Failures in a row; 0 if the last run was fine. */
  readonly failures: number;
  /** How long the next try after a failure has been due; negative if it is still to come. */
  readonly retryDueForSeconds: number | undefined;
  /** The same for the held relation that is due first. */
  readonly heldDueForSeconds: number | undefined;
  readonly copyUnfinished: boolean;
  /** Somebody wants the lane to wait. */
  readonly paused: boolean;
}

/**
 * `kick` now; `look` whether changes have been waiting for too long; `leave` alone.
 */
export type SweepDecision =
  | { readonly action: 'kick'; readonly reason: KickReason }
  | { readonly action: 'look' }
  | { readonly action: 'leave' };

/**
 * A run begins a moment after the sweep that kicked it, so at the next sweep a rate that equals the sweep's own
 * interval is not quite due. Without this slack it would run at every second sweep only.
 */
const RATE_SLACK_SECONDS = 10;

const KICK: SweepDecision = { action: 'kick', reason: 'sweep' };
const LEAVE: SweepDecision = { action: 'leave' };

/**
 * @param nowMs milliseconds since 1970
 * @param scheduleGraceSeconds how long others have to kick what the schedule says, before the sweep does
 */
export function planSweep(situation: LaneSituation, nowMs: number, scheduleGraceSeconds = 0): SweepDecision {
  if (situation.paused) return LEAVE;
  const { autokick, failures, runStartedSecondsAgo, retryDueForSeconds, heldDueForSeconds, copyUnfinished } =
    situation;
  if (failures > 0) {
    // The failed kick comes back from the queue by itself. Kicks on top of it would only pile up behind it, so the
    // sweep steps in when the kick must have been back, and is not: it has become a dead letter or is lost.
    // Without an instant for the retry (nothing to wait for but a person) the last run counts.
    const waitedSeconds = retryDueForSeconds ?? runStartedSecondsAgo ?? Number.POSITIVE_INFINITY;
    return waitedSeconds > MAX_RETRY_DELAY_SECONDS ? KICK : LEAVE;
  }
  if (isDue(situation, nowMs, scheduleGraceSeconds)) return { action: 'kick', reason: 'schedule' };
  // No kick is waiting for a held relation: its lane's run went well.
  if (heldDueForSeconds !== undefined && heldDueForSeconds >= 0) return KICK;
  if (copyUnfinished) return KICK;
  return autokick ? { action: 'look' } : LEAVE;
}

function isDue(
  { schedule, runStartedSecondsAgo }: LaneSituation,
  nowMs: number,
  scheduleGraceSeconds: number,
): boolean {
  if (schedule === undefined) return false;
  if (runStartedSecondsAgo === undefined) return true;
  const due = nextDue(schedule, new Date(nowMs - runStartedSecondsAgo * 1000));
  if (due === undefined) return false;
  const slackSeconds = schedule.startsWith('rate(') ? RATE_SLACK_SECONDS : 0;
  return due.getTime() + scheduleGraceSeconds * 1000 <= nowMs + slackSeconds * 1000;
}
