/**
 * A whole local fleet at work (`startLocalFleet`) between real databases, for tests that look at it from outside: it is started,
 * stopped, waited for and compared.
 */
import { onTestFinished } from 'vitest';
import { type LocalFleet, startLocalFleet } from '../../cli/local-fleet.ts';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Fleet, Sync } from '../../shared/config/types.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { type Log, silentLog } from '../../shared/telemetry/log.ts';
import { applySource, sourceDatabase } from './captured-source.ts';
import { expectEqualDatabases, settleLanes } from './end-equal.ts';

/** No sweep happens within any test: whatever arrives was kicked by the notifier. */
export const NO_SWEEPS_MS = 2 ** 30;

export interface LiveFleetOptions {
  readonly sync: Sync;
  /** Real URLs by the databases' names; asked at each connection, as they may change. */
  readonly urlOf: (database: string) => string;
  readonly sweepIntervalMs?: number;
  readonly log?: Log;
}

export class LiveFleet {
  readonly fleet: Fleet;
  readonly #options: LiveFleetOptions;
  #running: LocalFleet | undefined;

  constructor(options: LiveFleetOptions) {
    this.#options = options;
    const { sync } = options;
    this.fleet = {
      name: 'test',
      databases: new Map(
        [sync.source, ...sync.targets].map((name) => [name, sourceDatabase('notify', name)]),
      ),
      syncs: new Map([[sync.name, sync]]),
      aws: DEFAULT_AWS_SETTINGS,
    };
    onTestFinished(() => this.stop());
  }

  get sync(): Sync {
    return this.#options.sync;
  }

  /** Captures the source as the sync says. */
  async apply(): Promise<void> {
    const { sync, urlOf } = this.#options;
    await applySource(urlOf(sync.source), [sync], sourceDatabase('notify', sync.source));
  }

  async start(): Promise<LocalFleet> {
    const { urlOf, sweepIntervalMs = NO_SWEEPS_MS, log = silentLog } = this.#options;
    this.#running = await startLocalFleet({
      fleet: this.fleet,
      resolveUrl: async ({ name }) => urlOf(name),
      log,
      sweepIntervalMs,
    });
    await this.#running.notifier.ready;
    return this.#running;
  }

  get running(): LocalFleet | undefined {
    return this.#running;
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.stop();
  }

  /** Until every lane has all that is committed now. Failures that heal meanwhile do not count. */
  async settle(timeoutSeconds: number): Promise<void> {
    await settleLanes(this.fleet, this.#options.urlOf, timeoutSeconds);
  }

  async inSource<Result>(body: (source: Connection) => Promise<Result>): Promise<Result> {
    return await this.in(this.#options.sync.source, body);
  }

  async in<Result>(name: string, body: (db: Connection) => Promise<Result>): Promise<Result> {
    const url = this.#options.urlOf(name);
    return await withConnection({ database: name, url, purpose: 'test comparison' }, body);
  }

  /** Every row of the tables is the same everywhere. @param tables names in schema public */
  async expectEqual(tables: readonly string[], message = ''): Promise<void> {
    const { sync, urlOf } = this.#options;
    await expectEqualDatabases({ source: sync.source, targets: sync.targets, urlOf, tables }, message);
  }
}
