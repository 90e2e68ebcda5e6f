/** What tests of the notifier share: sources, fleets, and a queue that records which transactions its kicks cover. */
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Database, Fleet, Sync } from '../../shared/config/types.ts';
import type { ChangeKick, KickSink } from '../../notifier/kick-sink.ts';
import { applySource, sourceDatabase, sourceSync, withSource } from './captured-source.ts';
import { type Connection, connect } from '../../shared/postgres/connection.ts';
import { covers, parseSnapshot, type Snapshot } from '../../shared/postgres/snapshot.ts';

/**
 * Tables `(id bigint primary key, note text)` in public, captured for the syncs named, of a source called `shop`. What was
 * applied before and is not named any more is taken out again.
 */
export async function applyTables(
  url: string,
  tables: Readonly<Record<string, readonly string[]>>,
  wake: 'notify' | 'poll' = 'notify',
): Promise<void> {
  await withSource(url, async (db) => {
    for (const table of Object.keys(tables)) {
      await db.script(`create table if not exists public.${table} (id bigint primary key, note text)`);
    }
  });
  const syncs = [...new Set(Object.values(tables).flat())].map((sync) => {
    const included = Object.keys(tables).filter((table) => tables[table]?.includes(sync));
    return {
      ...sourceSync({ sync, tables: included.map((table) => `public.${table}`) }),
      source: 'shop',
    };
  });
  await applySource(url, syncs, sourceDatabase(wake, 'shop'));
}

export interface SyncSketch {
  readonly source: string;
  readonly targets: readonly string[];
  readonly autokick?: boolean;
}

export function fleetOf(
  sources: Readonly<Record<string, Partial<Database>>>,
  syncs: Readonly<Record<string, SyncSketch>>,
): Fleet {
  const databases = Object.entries(sources).map(([name, given]): [string, Database] => [
    name,
    { name, engine: 'postgres', url: '', wake: 'notify', ...given },
  ]);
  const all = Object.entries(syncs).map(([name, { source, targets, autokick = true }]): [string, Sync] => [
    name,
    {
      name,
      source,
      targets,
      autokick,
      include: [],
      exclude: [],
      schedule: undefined,
      copy: 'if-empty',
      batchRows: 100_000,
    },
  ]);
  return { name: 'test', databases: new Map(databases), syncs: new Map(all), aws: DEFAULT_AWS_SETTINGS };
}

export interface SentKicks {
  readonly lanes: readonly string[];
  /** Taken before the kicks were accepted: a run that they start sees at least this. */
  readonly snapshot: Snapshot | undefined;
}

/** Stands where the queue is, and accepts in memory. */
export class RecordingQueue implements KickSink {
  readonly sent: SentKicks[] = [];
  /** Sends to refuse from now on. */
  refusals = 0;
  refused = 0;
  #observer: Connection | undefined;

  /** From now on each send notes which transactions of the source it covers. */
  async observe(url: string): Promise<void> {
    this.#observer = await connect({ database: 'observer', url, purpose: 'test observer' });
  }

  async close(): Promise<void> {
    await this.#observer?.close();
  }

  async send(kicks: readonly ChangeKick[]): Promise<void> {
    if (this.refusals > 0) {
      this.refusals -= 1;
      this.refused += 1;
      throw new Error('the queue is away');
    }
    const row = await this.#observer?.row<{ now: string }>(`select txid_current_snapshot()::text as now`);
    this.sent.push({
      lanes: kicks.map(({ lane }) => lane),
      snapshot: row === undefined ? undefined : parseSnapshot(row.now),
    });
  }

  /** Forgets what was sent so far. */
  forget(): void {
    this.sent.length = 0;
  }

  kicked(lane: string): boolean {
    return this.sent.some(({ lanes }) => lanes.includes(lane));
  }

  covered(lane: string, txid: bigint): boolean {
    return this.sent.some(
      ({ lanes, snapshot }) => snapshot !== undefined && lanes.includes(lane) && covers(snapshot, txid),
    );
  }
}
