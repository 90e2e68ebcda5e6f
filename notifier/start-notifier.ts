/**
 * The notifier: one watch per source, independent of each other, and a health endpoint if wanted. It holds no state
 * that matters: started anew it kicks everything once.
 */
import type { Database, Fleet } from '../shared/config/types.ts';
import type { Log } from '../shared/telemetry/log.ts';
import { type HealthEndpoint, type NotifierHealth, startHealthServer } from './health-server.ts';
import type { KickSink } from './kick-sink.ts';
import { SourceWatch } from './source-watch.ts';
import { TIMING, type Timing } from './timing.ts';

export interface NotifierOptions {
  readonly fleet: Fleet;
  /** Called for every connection, so that a new address or password is picked up. */
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly queue: KickSink;
  readonly log: Log;
  /** Serve GET /health there. */
  readonly health?: HealthEndpoint | undefined;
  /** Stops the notifier when aborted. */
  readonly signal?: AbortSignal | undefined;
  readonly timing?: Partial<Timing> | undefined;
}

export interface Notifier {
  /** Resolves when every source was tried: its changes are waited for, or its first attempt failed. */
  readonly ready: Promise<void>;
  health(): NotifierHealth;
  /** Where /health is served, if it is. */
  readonly healthPort: number | undefined;
  stop(): Promise<void>;
}

/** @throws BUC-UNEXPECTED if the health endpoint cannot listen */
export async function startNotifier(options: NotifierOptions): Promise<Notifier> {
  const { fleet, resolveUrl, queue, log, signal } = options;
  const timing = { ...TIMING, ...options.timing };
  const syncs = [...fleet.syncs.values()].filter(({ autokick }) => autokick);
  const watches = new Map(
    [...fleet.databases.values()].flatMap((database) => {
      const ours = syncs.filter(({ source }) => source === database.name);
      if (ours.length === 0) return [];
      return [
        [database.name, new SourceWatch({ database, syncs: ours, resolveUrl, queue, log, timing })] as const,
      ];
    }),
  );

  const health = (): NotifierHealth => {
    const sources = Object.fromEntries([...watches].map(([name, watch]) => [name, watch.health()]));
    const all = Object.values(sources);
    return { well: all.length === 0 || all.some(({ well }) => well), sources };
  };
  const server = options.health === undefined ? undefined : await startHealthServer(options.health, health);

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await Promise.all([...watches.values()].map((watch) => watch.stop()));
      await server?.close();
      log('info', 'notifier.stopped');
    })();
    return stopping;
  };

  for (const watch of watches.values()) watch.start();
  if (signal?.aborted === true) void stop();
  signal?.addEventListener('abort', () => void stop(), { once: true });
  const ready = (async () => {
    await Promise.all([...watches.values()].map((watch) => watch.ready));
  })();
  return { ready, health, healthPort: server?.port, stop };
}
