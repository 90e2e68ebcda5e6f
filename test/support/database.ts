/** Throwaway databases on the shared server, and the check that no test leaves a session behind. */
import { randomBytes } from 'node:crypto';
import { afterEach, inject } from 'vitest';
import { type Connection, connect, withConnection } from '../../shared/postgres/connection.ts';
import { waitFor } from './wait-for.ts';

export interface TestDatabase {
  /** The name on the server. */
  readonly name: string;
  readonly url: string;
  /** The same database as another role (which must exist and be trusted). */
  urlAs(role: string): string;
  /** An ordinary application's session: usual search_path, not the project's. Closed after the test. */
  app(): Promise<Connection>;
}

const created: TestDatabase[] = [];
const sessions: Connection[] = [];

/** A new database, with `sql` run in it as an application would (search_path public). Dropped after the test. */
export async function createDatabase(sql = '', encoding = 'UTF8'): Promise<TestDatabase> {
  const server = inject('serverUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withConnection({ database: 'server', url: server, purpose: 'test setup' }, (db) =>
    db.script(`create database "${name}" template template0 encoding '${encoding}'`),
  );
  const url = new URL(server);
  url.pathname = `/${name}`;
  const database: TestDatabase = {
    name,
    url: url.href,
    urlAs(role) {
      const other = new URL(url);
      other.username = role;
      return other.href;
    },
    async app() {
      const session = await connect({ database: name, url: url.href, purpose: 'test application' });
      await session.script('set search_path to "$user", public; set row_security = on');
      sessions.push(session);
      return session;
    },
  };
  created.push(database);
  if (sql !== '') {
    await withConnection({ database: name, url: url.href, purpose: 'test setup' }, (db) =>
      db.script(`set search_path to public; ${sql}`),
    );
  }
  return database;
}

/** Runs `body` with a short-lived application session. */
export async function inDatabase<Result>(
  database: TestDatabase,
  body: (db: Connection) => Promise<Result>,
): Promise<Result> {
  return await withConnection(
    { database: database.name, url: database.url, purpose: 'test application' },
    async (db) => {
      await db.script('set search_path to "$user", public');
      return await body(db);
    },
  );
}

afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.close()));
  const databases = created.splice(0);
  if (databases.length === 0) return;
  await withConnection(
    { database: 'server', url: inject('serverUrl'), purpose: 'test teardown' },
    async (db) => {
      const names = databases.map(({ name }) => name);
      const leaked = () =>
        db.rows<{ application_name: string }>(
          `select application_name from pg_stat_activity where datname = any($1) and application_name like 'bucardo %'`,
          [names],
        );
      // Closing a socket and the server's noticing it are two moments.
      const clean = await waitFor(async () => (await leaked()).length === 0, 10_000).catch(() => false);
      const left = clean ? [] : await leaked();
      for (const name of names) {
        await db.run(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [name]);
        await db.script(`drop database if exists "${name}"`).catch(() => {});
      }
      if (left.length > 0) {
        throw new Error(
          `connections leaked: ${left.map(({ application_name }) => application_name).join(', ')}`,
        );
      }
    },
  );
});
