/** A source and a target on servers of their own, both as sessions of an application and as a fleet's configuration. */
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource } from '../../shared/capture/plan-source.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import type { Fleet, Lane } from '../../shared/config/types.ts';
import { findSync, lanesOf } from '../../shared/config/lanes.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { type Connection, connect } from '../../shared/postgres/connection.ts';
import { readGoal, waitForLane } from '../../shared/status/wait-for-lane.ts';
import { createLaneTable } from '../../shared/targets/postgres/lane-table.ts';
import { silentLog } from '../../shared/telemetry/log.ts';

export interface BenchDatabases extends AsyncDisposable {
  readonly servers: { readonly source: PostgresServer; readonly target: PostgresServer };
  readonly source: Connection;
  readonly target: Connection;
  /** As in bucardo.config.ts. */
  readonly config: object;
  readonly fleet: Fleet;
  /** The first one, if there are several. */
  readonly lane: Lane;
  /** Installs capture on the source. */
  apply(): Promise<void>;
  /** Resolves when all that is committed now is at the target, by every lane. Returns the seconds that it took. */
  level(timeoutSeconds?: number): Promise<number>;
  /** Throws if a table's rows differ. */
  expectEqual(table: string): Promise<void>;
}

/** A benchmark that takes longer than this has failed. */
const LEVEL_TIMEOUT_SECONDS = 600;

export interface BenchSettings {
  /** Run on both servers. */
  readonly schema: string;
  /** Tables that are replicated. */
  readonly tables: readonly string[];
  /** Whether each table has a sync, and so a lane, of its own. Default: all have one together. */
  readonly apart?: boolean;
  readonly copy: 'if-empty' | 'never';
  /** Of both servers. */
  readonly settings?: Readonly<Record<string, string>>;
}

export async function startBenchDatabases({
  schema,
  tables,
  apart = false,
  copy,
  settings: more = {},
}: BenchSettings): Promise<BenchDatabases> {
  const settings = { shared_buffers: '1GB', max_wal_size: '16GB', autovacuum: 'off', ...more };
  const [sourceServer, targetServer] = await Promise.all([
    startPostgres({ settings }),
    startPostgres({ settings }),
  ]);
  const app = (name: string, server: PostgresServer): Promise<Connection> =>
    connect({ database: name, url: server.url(), purpose: 'benchmark' });
  const [source, target] = await Promise.all([app('source', sourceServer), app('target', targetServer)]);
  await source.script(schema);
  await target.script(schema);
  // As apply does at the targets.
  await createLaneTable(target);
  const config = {
    databases: {
      source: { engine: 'postgres', url: sourceServer.url() },
      target: { engine: 'postgres', url: targetServer.url() },
    },
    syncs: Object.fromEntries(
      (apart ? tables.map((table) => [table]) : [tables]).map((some, index) => [
        `bench${index}`,
        { sources: ['source'], targets: ['target'], tables: some, copy },
      ]),
    ),
  };
  const fleet = validateConfig(config, 'benchmark');
  const lanes = lanesOf(fleet);
  const [lane] = lanes;
  const database = fleet.databases.get('source');
  if (lane === undefined || database === undefined) throw new Error('the benchmark has no lane');

  return {
    servers: { source: sourceServer, target: targetServer },
    source,
    target,
    config,
    fleet,
    lane,
    async apply() {
      const plan = await planSource(source, { database, syncs: [...fleet.syncs.values()] });
      await applyPlan(source, plan, { log: silentLog });
    },
    async level(timeoutSeconds = LEVEL_TIMEOUT_SECONDS) {
      const startedAtMs = performance.now();
      const goal = await readGoal(source);
      for (const each of lanes) {
        const sync = findSync(fleet, each.sync);
        await waitForLane(source, { lane: each, sync, goal, asked: false, timeoutSeconds });
      }
      return (performance.now() - startedAtMs) / 1000;
    },
    async expectEqual(table) {
      const sum = `select count(*) as rows, sum(hashtextextended(t::text, 0)) as sum from ${table} t`;
      const [ours, theirs] = [await source.row(sum), await target.row(sum)];
      if (JSON.stringify(ours) !== JSON.stringify(theirs))
        throw new Error(`${table} differs: the figures mean nothing`);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([source.close(), target.close()]);
      await Promise.all([sourceServer.destroy(), targetServer.destroy()]);
    },
  };
}
