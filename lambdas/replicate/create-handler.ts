/**
 * The replicate function: kicks in, lanes run, failures reported message by message. It decides nothing about data.
 * What it keeps between invocations (warm connections) only saves work.
 *
 * - A lane that fails gives back its messages, hidden for a growing delay; other lanes of the batch are not touched.
 * - A lane with more to do is kicked before its message is given up, so at every moment either kick is in the queue.
 */
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type { Database, Fleet, Lane } from '../../shared/config/types.ts';
import { asBucardoError, type BucardoError } from '../../shared/errors/bucardo-error.ts';
import type { KickQueue, KickSender } from '../../shared/queue/kick-queue.ts';
import { HEARTBEAT_INTERVAL_SECONDS, HEARTBEAT_VISIBILITY_SECONDS } from '../../shared/queue/names.ts';
import { planRetryDelaySeconds } from '../../shared/queue/retry-delay.ts';
import type { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import type { LaneRunContext, LaneRunOutcome } from '../../shared/replicate/lane-run.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import type { Metrics } from '../../shared/telemetry/metrics.ts';
import { startHeartbeat } from './heartbeat.ts';
import { planBatch, type PlannedRun } from './plan-batch.ts';
import { planDeadlineMs } from './plan-deadline.ts';

export interface ReplicateHandlerOptions {
  readonly fleet: Fleet;
  readonly resolveUrl: (database: Database) => Promise<string>;
  /** Called when a database refused the login: what `resolveUrl` has kept may be outdated. */
  readonly forgetUrl?: (database: Database) => void;
  readonly queue: KickSender & Pick<KickQueue, 'hideMessage'>;
  readonly runLane: (lane: Lane, context: LaneRunContext) => Promise<LaneRunOutcome>;
  readonly connections: ConnectionCache;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'laneRun'>;
  /** Shorter in tests. Default: HEARTBEAT_VISIBILITY_SECONDS, HEARTBEAT_INTERVAL_SECONDS. */
  readonly heartbeat?: { readonly visibilitySeconds: number; readonly intervalSeconds: number };
}

export type ReplicateHandler = (
  event: SQSEvent,
  context: Pick<Context, 'awsRequestId' | 'getRemainingTimeInMillis'>,
) => Promise<SQSBatchResponse>;

export function createReplicateHandler(options: ReplicateHandlerOptions): ReplicateHandler {
  const { fleet, resolveUrl, queue, runLane, connections, metrics } = options;
  const heartbeatTimes = options.heartbeat ?? {
    visibilitySeconds: HEARTBEAT_VISIBILITY_SECONDS,
    intervalSeconds: HEARTBEAT_INTERVAL_SECONDS,
  };
  async function run({ lane, reason, records }: PlannedRun, deadlineMs: number, log: Log): Promise<boolean> {
    const { sync, destination } = lane;
    const startedMs = Date.now();
    const seconds = (): number => (Date.now() - startedMs) / 1000;
    const heartbeat = startHeartbeat({
      queue,
      receiptHandles: records.map(({ receiptHandle }) => receiptHandle),
      ...heartbeatTimes,
      log,
    });
    try {
      const { rows, batches, more } = await runLane(lane, {
        fleet,
        resolveUrl,
        log,
        deadlineMs,
        connections,
      });
      if (more) await queue.send([{ lane: lane.id, reason: 'continue' }]);
      await heartbeat.stop();
      log('info', 'lane.run.completed', {
        sync,
        destination,
        reason,
        rows,
        batches,
        more,
        seconds: seconds(),
      });
      metrics.laneRun({ sync, destination, rows, seconds: seconds(), failed: false });
      return true;
    } catch (thrown) {
      const error = asBucardoError(thrown);
      if (error.code === 'BUC-DB-AUTH') forgetUrl(error.concern.database);
      await heartbeat.stop();
      const delaySeconds = await postpone(records, error, log);
      // A lane that is only busy is no failure: nothing is wrong with it.
      const failed = error.retry !== 'now';
      log(failed ? 'error' : 'warn', 'lane.run.failed', {
        ...errorFields(error),
        sync,
        destination,
        reason,
        retry: error.retry,
        delaySeconds,
        seconds: seconds(),
      });
      metrics.laneRun({ sync, destination, rows: 0, seconds: seconds(), failed });
      return false;
    }
  }

  function forgetUrl(name: string | undefined): void {
    const database = name === undefined ? undefined : fleet.databases.get(name);
    if (database !== undefined) options.forgetUrl?.(database);
  }

  /**
   * Hides a group's messages until their next try, counted by the first, which is the one that failed. If the queue does
   * not take it, the visibility that they have brings them back.
   */
  async function postpone(records: readonly SQSRecord[], error: BucardoError, log: Log): Promise<number> {
    const receiveCount = Number(records[0]?.attributes.ApproximateReceiveCount);
    const delaySeconds = planRetryDelaySeconds(receiveCount, error.retry);
    await Promise.all(
      records.map(({ receiptHandle }) =>
        queue.hideMessage(receiptHandle, delaySeconds).catch((failure: unknown) => {
          log('warn', 'lane.kick.postpone.failed', errorFields(failure));
        }),
      ),
    );
    return delaySeconds;
  }

  return async (event, context) => {
    const log: Log = (level, name, fields) =>
      options.log(level, name, { ...fields, requestId: context.awsRequestId });
    const deadlineMs = planDeadlineMs(Date.now(), context.getRemainingTimeInMillis());
    const { runs, refused } = planBatch(fleet, event.Records);

    const failed = await Promise.all([
      ...runs.map(async (planned) => {
        return (await run(planned, deadlineMs, log)) ? [] : planned.records;
      }),
      ...refused.map(async ({ error, records }) => {
        log('error', 'kick.refused', errorFields(error));
        await postpone(records, error, log);
        return records;
      }),
    ]);
    return { batchItemFailures: failed.flat().map(({ messageId }) => ({ itemIdentifier: messageId })) };
  };
}
