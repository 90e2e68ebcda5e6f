/**
 * Which lanes a batch of messages asks to run. Pure. Invariant: what a message group asks for is done up to its first
 * message that cannot be done; from there on the group's messages are refused, so that their order is kept. Groups do
 * not affect each other.
 */
import type { SQSRecord } from 'aws-lambda';
import { findLane } from '../../shared/config/lanes.ts';
import type { Fleet, Lane } from '../../shared/config/types.ts';
import { asBucardoError, BucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Kick, parseKick } from '../../shared/queue/kick.ts';

/** One run answers all of a lane's messages in the batch: each only says that there may be something to do. */
export interface PlannedRun {
  readonly lane: Lane;
  /** The first message's. */
  readonly reason: Kick['reason'];
  readonly records: readonly SQSRecord[];
}

interface RefusedRecords {
  readonly error: BucardoError;
  /** The message at fault, then the later ones of its group. */
  readonly records: readonly SQSRecord[];
}

export interface BatchPlan {
  readonly runs: readonly PlannedRun[];
  readonly refused: readonly RefusedRecords[];
}

/** @param records of one invocation, in the order of the event */
export function planBatch(fleet: Fleet, records: readonly SQSRecord[]): BatchPlan {
  const runs: PlannedRun[] = [];
  const refused: RefusedRecords[] = [];
  const groups = Map.groupBy(records, ({ attributes }) => attributes.MessageGroupId ?? '');
  for (const [groupId, group] of groups) {
    const good: SQSRecord[] = [];
    let lane: Lane | undefined;
    let reason: Kick['reason'] | undefined;
    for (const record of group) {
      try {
        const kick = parseKick(record.body);
        if (kick.lane !== groupId) {
          throw new BucardoError('BUC-KICK-MALFORMED', {
            detail: `lane ${kick.lane}, but another message group`,
          });
        }
        lane ??= findLane(fleet, kick.lane);
        reason ??= kick.reason;
        good.push(record);
      } catch (error) {
        refused.push({ error: asBucardoError(error), records: group.slice(good.length) });
        break;
      }
    }
    if (lane !== undefined && reason !== undefined) runs.push({ lane, reason, records: good });
  }
  return { runs, refused };
}
