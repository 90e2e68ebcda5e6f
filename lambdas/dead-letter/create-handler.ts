/**
 * The dead-letter function: a kick that was tried too often waits in its own queue, and this function is called for it now and then.
 * The letter itself is the timer: as long as its lane is not well the lane is kicked again, and the letter stays, hidden for a while.
 *
 * Invariants: a letter goes only when its lane has run well since, or when no lane of the configuration can be meant, which is
 * told; so letters in the queue are lanes in trouble. Nothing depends on a letter: the sweep kicks failing lanes without it.
 */
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { findLane } from '../../shared/config/lanes.ts';
import type { Fleet, Lane } from '../../shared/config/types.ts';
import { asBucardoError, BucardoError } from '../../shared/errors/bucardo-error.ts';
import { parseKick } from '../../shared/queue/kick.ts';
import type { KickQueue, KickSender } from '../../shared/queue/kick-queue.ts';
import type { WithDatabase } from '../../shared/config/with-fleet-database.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import type { Metrics } from '../../shared/telemetry/metrics.ts';
import type { Announce, Announcement } from './announce.ts';
import { readLane, recordDeadLetter, type RecordedLane } from './lane-record.ts';
import { type LetterPlan, mustRenew, planLetter } from './plan-letter.ts';

export interface DeadLetterHandlerOptions {
  readonly fleet: Fleet;
  /** Of kicks. */
  readonly queue: KickSender;
  /** Of dead letters. */
  readonly letters: KickSender & Pick<KickQueue, 'hideMessage'>;
  readonly withDatabase: WithDatabase;
  readonly announce: Announce;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'deadLetter'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type DeadLetterHandler = (event: SQSEvent) => Promise<SQSBatchResponse>;

export function createDeadLetterHandler(options: DeadLetterHandlerOptions): DeadLetterHandler {
  const { fleet, queue, letters, withDatabase, announce, log, metrics, now } = options;

  /** Whether the letter is done with, and may be deleted. */
  async function handle(record: SQSRecord): Promise<boolean> {
    const lane = laneOf(record);
    if (lane instanceof BucardoError) {
      await discard(record, lane);
      return true;
    }
    const { sync, destination } = lane;
    const letter = { sentAtMs: Number(record.attributes.SentTimestamp) };
    let look: RecordedLane | undefined;
    let plan: LetterPlan | undefined;
    let trouble: BucardoError | undefined;
    try {
      plan = await withDatabase(lane.source, async (source) => {
        look = await readLane(source, lane);
        const decided = planLetter(letter, look, now());
        if (decided.action === 'retry') await recordDeadLetter(source, lane, look, decided.delaySeconds);
        return decided;
      });
    } catch (thrown) {
      trouble = asBucardoError(thrown);
      log('warn', 'dead-letter.source.failed', { ...errorFields(trouble), sync, destination });
    }
    plan ??= planLetter(letter, look, now());
    if (plan.action === 'done') {
      log('info', 'dead-letter.recovered', { sync, destination });
      return true;
    }
    const { delaySeconds } = plan;
    const { code, message } = look?.error ?? trouble ?? new BucardoError('BUC-LANE-DEAD-LETTER');
    log('error', 'dead-letter.waiting', { sync, destination, code, message, delaySeconds });
    // Before the queue is asked for anything: it is recorded that people were told, so there is no second time.
    if (plan.announce) {
      metrics.deadLetter({ sync, destination });
      await tell({ lane: lane.id, code, message, nextTrySeconds: delaySeconds });
    }
    if (plan.kick) await queue.send([{ lane: lane.id, reason: 'retry' }]);
    if (mustRenew(letter, now())) {
      await letters.send([{ lane: lane.id, reason: 'retry' }]);
      return true;
    }
    await letters.hideMessage(record.receiptHandle, delaySeconds);
    return false;
  }

  /** Why, if no lane can be meant: another program's message, or a lane that the configuration had once. */
  function laneOf({ body }: SQSRecord): Lane | BucardoError {
    try {
      return findLane(fleet, parseKick(body).lane);
    } catch (error) {
      return asBucardoError(error);
    }
  }

  async function discard({ messageId }: SQSRecord, error: BucardoError): Promise<void> {
    log('error', 'dead-letter.discarded', { ...errorFields(error), messageId });
    metrics.deadLetter({ sync: undefined, destination: undefined });
    const { code, message } = error;
    await tell({ lane: undefined, code, message, nextTrySeconds: undefined });
  }

  /** An event that is not taken does not keep the lane from being tried again; the log and the alarm have it too. */
  async function tell(announcement: Omit<Announcement, 'fleet'>): Promise<void> {
    try {
      await announce({ fleet: fleet.name, ...announcement });
    } catch (failure) {
      log('warn', 'dead-letter.announce.failed', errorFields(failure));
    }
  }

  return async ({ Records }) => {
    const failed: SQSRecord[] = [];
    for (const record of Records) {
      try {
        if (!(await handle(record))) failed.push(record);
      } catch (error) {
        // The queue does not answer: the letter comes back when its visibility ends.
        log('error', 'dead-letter.failed', errorFields(error));
        failed.push(record);
      }
    }
    return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
  };
}
