/**
 * A whole fleet in this process: the queue, the notifier, and the very same handlers that AWS runs, behind a local event source
 * mapping. Used by `bucardo dev`, the demo, the tests and the benchmarks; there is no second engine.
 */
import { announceNowhere } from '../lambdas/dead-letter/announce.ts';
import { createDeadLetterHandler } from '../lambdas/dead-letter/create-handler.ts';
import { createReplicateHandler } from '../lambdas/replicate/create-handler.ts';
import { createSweepHandler } from '../lambdas/sweep/create-handler.ts';
import { type Notifier, startNotifier } from '../notifier/start-notifier.ts';
import { purge } from '../shared/capture/purge.ts';
import type { Database, Fleet } from '../shared/config/types.ts';
import { asBucardoError, BucardoError } from '../shared/errors/bucardo-error.ts';
import { withConnection } from '../shared/postgres/connection.ts';
import { startEventSourceMapping } from '../shared/local/event-source-mapping.ts';
import { type LocalSqs, startLocalSqs } from '../shared/local/sqs-server.ts';
import { createKickQueue, type KickQueue } from '../shared/queue/kick-queue.ts';
import { SHORT_TIMEOUT_SECONDS } from '../shared/queue/names.ts';
import { ConnectionCache } from '../shared/replicate/connection-cache.ts';
import { runLane } from '../shared/replicate/run-lane.ts';
import { errorFields, type Log } from '../shared/telemetry/log.ts';
import { logMetrics } from '../shared/telemetry/metrics.ts';

export interface LocalFleetOptions {
  readonly fleet: Fleet;
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly log: Log;
  /** Milliseconds between two sweeps. Default 60,000, as deployed. */
  readonly sweepIntervalMs?: number;
  /** Port of the local queue; any free one by default. */
  readonly queuePort?: number;
  /** Where to serve the notifier's health; nowhere by default. */
  readonly health?: { readonly port: number } | undefined;
}

export interface LocalFleet {
  readonly sqs: LocalSqs;
  readonly queue: KickQueue;
  readonly notifier: Notifier;
  /** Runs the sweep now, besides its interval. */
  sweep(): Promise<unknown>;
  /** Drains and ends everything. May be called more than once. */
  stop(): Promise<void>;
}

const SWEEP_INTERVAL_MS = 60_000;

/** With one source nothing asks for history, so deltas that everybody has are kept only as long as a run may take. */
const RETENTION_SECONDS = 900;

/** How long running lanes may take to finish when the fleet stops. */
const STOP_GRACE_MS = 2_000;

export async function startLocalFleet(options: LocalFleetOptions): Promise<LocalFleet> {
  const { fleet, resolveUrl, log } = options;
  const sqs = await startLocalSqs({
    fleet: fleet.name,
    ...(options.queuePort === undefined ? {} : { port: options.queuePort }),
  });
  const queue = createKickQueue({ queueUrl: sqs.kicks.url, region: sqs.region, endpoint: sqs.endpoint });
  const connections = new ConnectionCache();
  const handler = createReplicateHandler({
    fleet,
    resolveUrl,
    queue,
    runLane,
    connections,
    log,
    metrics: logMetrics(log),
  });
  const mapping = startEventSourceMapping({
    queue: sqs.kicks,
    region: sqs.region,
    endpoint: sqs.endpoint,
    handler,
    functionName: 'replicate',
    log,
  });
  const sweep = createSweepHandler({
    fleet,
    resolveUrl,
    queue,
    log,
    metrics: logMetrics(log),
    now: Date.now,
    purge: (source) => purge(source, { retentionSeconds: RETENTION_SECONDS, log }),
  });
  const letters = createKickQueue({
    queueUrl: sqs.deadLetters.url,
    region: sqs.region,
    endpoint: sqs.endpoint,
  });
  const deadLetters = startEventSourceMapping({
    queue: sqs.deadLetters,
    region: sqs.region,
    endpoint: sqs.endpoint,
    handler: createDeadLetterHandler({
      fleet,
      queue,
      letters,
      withDatabase: (name, body) => {
        const database = fleet.databases.get(name);
        if (database === undefined) throw new BucardoError('BUC-LANE-UNKNOWN', { database: name });
        return resolveUrl(database).then((url) =>
          withConnection({ database: name, url, purpose: 'dead letters' }, body),
        );
      },
      announce: announceNowhere,
      log,
      metrics: logMetrics(log),
      now: Date.now,
    }),
    functionName: 'dead-letter',
    timeoutSeconds: SHORT_TIMEOUT_SECONDS,
    log,
  });
  let sweeping: Promise<unknown> = Promise.resolve();
  const sweepOnce = async (): Promise<unknown> => {
    sweeping = sweep().catch((error: unknown) =>
      log('error', 'sweep.failed', errorFields(asBucardoError(error))),
    );
    return await sweeping;
  };
  const timer = setInterval(() => void sweepOnce(), options.sweepIntervalMs ?? SWEEP_INTERVAL_MS);
  const notifier = await startNotifier({ fleet, resolveUrl, queue, log, health: options.health });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await notifier.stop();
    await sweeping;
    await Promise.all([mapping.stop(STOP_GRACE_MS), deadLetters.stop(STOP_GRACE_MS)]);
    await connections.close();
    queue.close();
    letters.close();
    await sqs.close();
  };
  return { sqs, queue, notifier, sweep: sweepOnce, stop: () => (stopping ??= stop()) };
}
