/** Postgres keeps the contract of destinations, in the replica role and as a role with DML rights only. */
import { afterEach } from 'vitest';
import { withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { withPostgresDestination } from '../../shared/targets/postgres/open-destination.ts';
import { createDatabase } from '../support/database.ts';
import { targetContract, type TargetPlace } from './target.ts';

const TABLES = `
  create table people (id integer primary key, name text, amount integer check (amount <= 100));
  create table pairs (a integer, b text, primary key (a, b))`;

const WRITER = `
  do $$ begin create role writer login; exception when duplicate_object or unique_violation then null; end $$;
  grant select, insert, update, delete on all tables in schema public to writer`;

const LANE = { id: 'orders/target', sync: 'orders', source: 'source', destination: 'target' };

const caches: ConnectionCache[] = [];
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()));
});

async function openPlace(role: 'postgres' | 'writer'): Promise<TargetPlace> {
  const database = await createDatabase(`${TABLES}; ${WRITER}`);
  const connections = new ConnectionCache();
  caches.push(connections);
  const session = (url: string) => ({ database: 'target', url, purpose: 'contract' });
  return {
    withDestination: (body) =>
      withPostgresDestination(connections, session(database.urlAs(role)), LANE, body),
    rowsOf: (table) =>
      withConnection(session(database.url), async (db) => {
        const key = table === 'people' ? 'id' : 'a, b';
        const columns = table === 'people' ? 'id::text, name, amount::text' : 'a::text, b';
        const rows = await db.rows<{ fields: (string | null)[] }>(
          `select array[${columns}] as fields from public.${table} order by ${key}`,
        );
        return rows.map(({ fields }) => fields);
      }),
  };
}

targetContract({ name: 'Postgres, replica role', openPlace: () => openPlace('postgres') });
targetContract({ name: 'Postgres, DML rights only', openPlace: () => openPlace('writer') });
