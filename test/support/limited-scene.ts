/**
 * A source and a target whose logins have exactly the rights that replication needs, on a server that also knows passwords:
 * for tests that take one thing away and look at what the check says, what the programs do, and that nothing was changed.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource } from '../../shared/capture/plan-source.ts';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import type { Finding } from '../../shared/check/finding.ts';
import { findLane } from '../../shared/config/lanes.ts';
import type { Database, Fleet } from '../../shared/config/types.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { type BucardoError, asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { LANE_TABLE, LANE_TABLE_RIGHTS } from '../../shared/targets/postgres/lane-row.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { errorFields, jsonLog } from '../../shared/telemetry/log.ts';

/** In every row and in every password: no text that people see may have it. */
export const PRIVATE = 'hunter2';

/** `locked` needs its password; `banned` may not come in; everybody else is trusted. */
const HBA = `
host all locked 127.0.0.1/32 scram-sha-256
host all banned 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
`;

export async function startLimitedServer(major: number): Promise<PostgresServer> {
  const server = await startPostgres({
    major,
    prepare: ({ data }) => writeFileSync(join(data, 'pg_hba.conf'), HBA),
  });
  await admin(server, 'postgres', (db) =>
    db.script(`create role reader login; create role writer login; create role banned login;
      create role locked login password '${PRIVATE}'`),
  );
  return server;
}

export async function admin<Result>(
  server: PostgresServer,
  database: string,
  body: (db: Connection) => Promise<Result>,
): Promise<Result> {
  return await withConnection({ database, url: server.url(database), purpose: 'test setup' }, body);
}

/** What an act came to: an error that ended it, relations that it holds, rows that it parked, and all that it logged. */
export interface Outcome {
  readonly error: BucardoError | undefined;
  readonly held: readonly { readonly code: string; readonly detail: string }[];
  readonly parked: readonly { readonly code: string; readonly detail: string; readonly sqlstate: string }[];
  readonly log: string;
}

export class LimitedScene {
  readonly server: PostgresServer;
  readonly source = `source_${randomBytes(4).toString('hex')}`;
  readonly target = `target_${randomBytes(4).toString('hex')}`;
  readonly #urls: { source: string; target: string };

  private constructor(server: PostgresServer) {
    this.server = server;
    this.#urls = { source: server.url(this.source, 'reader'), target: server.url(this.target, 'writer') };
  }

  /** Nothing is applied yet. */
  static async create(server: PostgresServer): Promise<LimitedScene> {
    const scene = new LimitedScene(server);
    for (const name of [scene.source, scene.target]) {
      await admin(server, 'postgres', (db) => db.script(`create database ${name}`));
      await admin(server, name, (db) =>
        db.script(`create schema shop; create table shop.orders (id int primary key, note varchar(20))`),
      );
    }
    await scene.atSource(`grant create on database ${scene.source} to reader; grant usage on schema shop to reader;
      grant select, trigger on shop.orders to reader`);
    await scene.atTarget(`grant usage on schema shop to writer;
      grant select, insert, update, delete on shop.orders to writer;
      ${LANE_TABLE.join(';')}; grant usage on schema bucardo to writer;
      grant ${LANE_TABLE_RIGHTS.join(', ')} on bucardo.lane to writer`);
    return scene;
  }

  async atSource(sql: string): Promise<void> {
    await admin(this.server, this.source, (db) => db.script(this.#named(sql)));
  }

  async atTarget(sql: string): Promise<void> {
    await admin(this.server, this.target, (db) => db.script(this.#named(sql)));
  }

  /** `$SOURCE` and `$TARGET` stand for the databases' names. */
  #named(sql: string): string {
    return sql.replaceAll('$SOURCE', this.source).replaceAll('$TARGET', this.target);
  }

  setUrl(side: 'source' | 'target', url: string): void {
    this.#urls[side] = url;
  }

  resetUrl(side: 'source' | 'target'): void {
    this.#urls.source = side === 'source' ? this.server.url(this.source, 'reader') : this.#urls.source;
    this.#urls.target = side === 'target' ? this.server.url(this.target, 'writer') : this.#urls.target;
  }

  /** Applied, rows 1 and 2 at the target, and something of each kind pending: 1 changed, 2 deleted, 3 inserted. */
  async replicateAndChange(): Promise<void> {
    await this.atSource(`insert into shop.orders values (1, '${PRIVATE} one'), (2, '${PRIVATE} two')`);
    const applied = await this.apply();
    const ran = await this.run();
    if (applied.error !== undefined || ran.error !== undefined || ran.held.length > 0)
      throw new Error('the scene is not healthy', { cause: applied.error ?? ran.error });
    await this.atSource(`update shop.orders set note = '${PRIVATE} changed' where id = 1;
      delete from shop.orders where id = 2; insert into shop.orders values (3, '${PRIVATE} three')`);
  }

  get #fleet(): Fleet {
    return validateConfig(
      {
        databases: {
          east: { engine: 'postgres', url: { kind: 'env', name: 'EAST' } },
          reports: { engine: 'postgres', url: { kind: 'env', name: 'REPORTS' } },
        },
        syncs: { orders: { sources: ['east'], targets: ['reports'], tables: ['shop.orders'] } },
      },
      'bucardo.config.ts',
    );
  }

  #resolveUrl = (database: Database): Promise<string> =>
    Promise.resolve(database.name === 'east' ? this.#urls.source : this.#urls.target);

  async check(): Promise<readonly Finding[]> {
    return await checkFleet({ fleet: this.#fleet, resolveUrl: this.#resolveUrl, patienceMs: 3_000 });
  }

  async apply(): Promise<Outcome> {
    const database = this.#fleet.databases.get('east');
    if (database === undefined) throw new Error('no such database');
    const url = await this.#resolveUrl(database);
    const request = { database, syncs: [...this.#fleet.syncs.values()] };
    return await this.#outcome(async (log) => {
      await withConnection({ database: 'east', url, purpose: 'test apply' }, async (db) =>
        applyPlan(db, await planSource(db, request), { log }),
      );
    });
  }

  async run(): Promise<Outcome> {
    const connections = new ConnectionCache();
    try {
      return await this.#outcome(async (log) => {
        await runLane(findLane(this.#fleet, 'orders/reports'), {
          fleet: this.#fleet,
          resolveUrl: this.#resolveUrl,
          log,
          deadlineMs: Date.now() + 60_000,
          connections,
        });
      });
    } finally {
      await connections.close();
    }
  }

  async #outcome(act: (log: ReturnType<typeof jsonLog>) => Promise<void>): Promise<Outcome> {
    let lines = '';
    const log = jsonLog((line) => (lines += line), 'debug');
    let error: BucardoError | undefined;
    try {
      await act(log);
    } catch (thrown) {
      error = asBucardoError(thrown);
      log('error', 'test.failed', errorFields(error));
    }
    return await admin(this.server, this.source, async (db) => {
      const there = await db.row<{ there: boolean }>(
        `select to_regclass('bucardo.progress') is not null as there`,
      );
      if (!there.there) return { error, held: [], parked: [], log: lines };
      return {
        error,
        held: await db.rows(`select error_code as code, error_detail as detail from bucardo.held_relation`),
        parked: await db.rows(
          `select error_code as code, error_detail as detail, sqlstate from bucardo.rejected_row`,
        ),
        log: lines,
      };
    });
  }

  /** Held relations are due at once. */
  async retryNow(): Promise<void> {
    await this.atSource(`update bucardo.held_relation set retry_at = now()`);
  }

  async rows(side: 'source' | 'target'): Promise<readonly object[]> {
    return await admin(this.server, this[side], (db) => db.rows('select * from shop.orders order by id'));
  }

  /** Every object with its rights, and the applications' rows. */
  async fingerprint(side: 'source' | 'target'): Promise<readonly object[]> {
    return await admin(this.server, this[side], (db) =>
      db.rows(`
        select 'relation' as kind, c.oid::text as id, c.relname::text as name, c.relacl::text as more
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_'
        union all select 'column', attrelid::text, attname::text, atttypmod::text
          from pg_attribute where attrelid = to_regclass('shop.orders')
        union all select 'trigger', oid::text, tgname::text, tgenabled::text from pg_trigger
        union all select 'function', oid::text, proname::text, prosrc from pg_proc where pronamespace = to_regnamespace('bucardo')
        union all select 'schema', oid::text, nspname::text, nspacl::text from pg_namespace where nspname !~ '^pg_'
        union all select 'rows', '', 'shop.orders', case when to_regclass('shop.orders') is not null
          then query_to_xml('select * from shop.orders order by 1', true, false, '')::text end
        order by 1, 2, 3`),
    );
  }
}
