/**
 * A whole fleet in this process: queue, functions and notifier. Used by `bucardo dev`, the demo, the tests and the benchmarks; there
 * is no second engine.
 */
import { type Notifier, startNotifier } from '../notifier/start-notifier.ts';
import type { Database, Fleet } from '../shared/config/types.ts';
import { type LocalSqs, startLocalSqs } from '../shared/local/sqs-server.ts';
import type { KickQueue } from '../shared/queue/kick-queue.ts';
import type { Log } from '../shared/telemetry/log.ts';
import { startLocalFunctions } from './local-functions.ts';

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
  readonly sweep: () => Promise<unknown>;
  /** Drains and ends everything. May be called more than once. */
  stop(): Promise<void>;
}

export async function startLocalFleet(options: LocalFleetOptions): Promise<LocalFleet> {
  const { fleet, resolveUrl, log, sweepIntervalMs, queuePort, health } = options;
  const sqs = await startLocalSqs({
    fleet: fleet.name,
    ...(queuePort === undefined ? {} : { port: queuePort }),
  });
  const functions = startLocalFunctions({ fleet, resolveUrl, sqs, log, sweepIntervalMs });
  const { queue, sweep } = functions;
  const notifier = await startNotifier({ fleet, resolveUrl, queue, log, health });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await notifier.stop();
    await functions.stop();
    await sqs.close();
  };
  return { sqs, queue, notifier, sweep, stop: () => (stopping ??= stop()) };
}
