/**
 * The functions of a fleet in this process: the very same handlers that AWS runs, behind local event source mappings of the two
 * queues, and the sweep at its interval.
 */
import { announceNowhere } from '../lambdas/dead-letter/announce.ts';
import { createDeadLetterHandler } from '../lambdas/dead-letter/create-handler.ts';
import { createReplicateHandler, type ReplicateHandlerOptions } from '../lambdas/replicate/create-handler.ts';
import { createSweepHandler } from '../lambdas/sweep/create-handler.ts';
import { purge } from '../shared/capture/purge.ts';
import { watchCapture } from '../shared/capture/watch-capture.ts';
import type { Database, Fleet } from '../shared/config/types.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { asBucardoError } from '../shared/errors/bucardo-error.ts';
import { startEventSourceMapping } from '../shared/local/event-source-mapping.ts';
import type { LocalSqs } from '../shared/local/sqs-server.ts';
import { createKickQueue, type KickQueue } from '../shared/queue/kick-queue.ts';
import { SHORT_TIMEOUT_SECONDS } from '../shared/queue/names.ts';
import { ConnectionCache } from '../shared/replicate/connection-cache.ts';
import { runLane } from '../shared/replicate/run-lane.ts';
import { errorFields, type Log } from '../shared/telemetry/log.ts';
import { logMetrics } from '../shared/telemetry/metrics.ts';

export interface LocalFunctionsOptions {
  readonly fleet: Fleet;
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly sqs: Pick<LocalSqs, 'kicks' | 'deadLetters' | 'region' | 'endpoint'>;
  readonly log: Log;
  /** Milliseconds between two sweeps. Default 60,000, as deployed. */
  readonly sweepIntervalMs?: number | undefined;
  /** Shorter in tests, as is `letterDelay`. Default: as deployed. */
  readonly heartbeat?: ReplicateHandlerOptions['heartbeat'];
  /** How long a dead letter waits for its next try. Gets and gives seconds. */
  readonly letterDelay?: (plannedSeconds: number) => number;
}

export interface LocalFunctions {
  readonly queue: KickQueue;
  /** Runs the sweep now, besides its interval. */
  readonly sweep: () => Promise<unknown>;
  /** Lets what runs come to its end, within bounds. */
  stop(): Promise<void>;
}

const SWEEP_INTERVAL_MS = 60_000;

/** With one source nothing asks for history, so deltas that everybody has are kept only as long as a run may take. */
const RETENTION_SECONDS = 900;

/** How long running lanes may take to finish when the functions stop. */
const STOP_GRACE_MS = 2_000;

export function startLocalFunctions(options: LocalFunctionsOptions): LocalFunctions {
  const { fleet, resolveUrl, sqs, log, heartbeat, letterDelay = (seconds) => seconds } = options;
  const { region, endpoint } = sqs;
  const queue = createKickQueue({ queueUrl: sqs.kicks.url, region, endpoint });
  const letters = createKickQueue({ queueUrl: sqs.deadLetters.url, region, endpoint });
  const connections = new ConnectionCache();
  const metrics = logMetrics(log);
  const replicate = startEventSourceMapping({
    queue: sqs.kicks,
    region,
    endpoint,
    handler: createReplicateHandler({
      fleet,
      resolveUrl,
      queue,
      runLane,
      connections,
      log,
      metrics,
      ...(heartbeat === undefined ? {} : { heartbeat }),
    }),
    functionName: 'replicate',
    log,
  });
  const deadLetter = startEventSourceMapping({
    queue: sqs.deadLetters,
    region,
    endpoint,
    handler: createDeadLetterHandler({
      fleet,
      queue,
      letters: {
        send: (kicks) => letters.send(kicks),
        hideMessage: (handle, seconds) => letters.hideMessage(handle, letterDelay(seconds)),
      },
      withDatabase: withFleetDatabase(fleet, 'dead letters', resolveUrl, resolveUrl),
      announce: announceNowhere,
      log,
      metrics,
      now: Date.now,
    }),
    functionName: 'dead-letter',
    timeoutSeconds: SHORT_TIMEOUT_SECONDS,
    log,
  });
  const handleSweep = createSweepHandler({
    fleet,
    resolveUrl,
    queue,
    log,
    metrics,
    now: Date.now,
    watch: (source) => watchCapture(source, log),
    purge: (source, deadlineMs) => purge(source, { retentionSeconds: RETENTION_SECONDS, log, deadlineMs }),
  });
  let sweeping: Promise<unknown> = Promise.resolve();
  const sweep = async (): Promise<unknown> => {
    sweeping = handleSweep().catch((error: unknown) =>
      log('error', 'sweep.failed', errorFields(asBucardoError(error))),
    );
    return await sweeping;
  };
  const timer = setInterval(() => void sweep(), options.sweepIntervalMs ?? SWEEP_INTERVAL_MS);

  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await sweeping;
    await Promise.all([replicate.stop(STOP_GRACE_MS), deadLetter.stop(STOP_GRACE_MS)]);
    await connections.close();
    queue.close();
    letters.close();
  };
  return { queue, sweep, stop };
}
