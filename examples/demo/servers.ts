/**
 * Three real Postgres servers, each a fresh cluster in a temporary folder. Whatever happens in between, they are stopped and
 * their folders deleted.
 */
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { INITIAL_ROWS, SCHEMA, type ServerName } from './shop.ts';

export type Servers = Readonly<Record<ServerName, PostgresServer>>;

/** @param signal checked between two servers: starting one cannot be interrupted */
export async function withServers<Result>(
  signal: AbortSignal,
  body: (servers: Servers) => Promise<Result>,
): Promise<Result> {
  const started: PostgresServer[] = [];
  const start = async (): Promise<PostgresServer> => {
    signal.throwIfAborted();
    const server = await startPostgres();
    started.push(server);
    return server;
  };
  try {
    return await body({ shop: await start(), reports: await start(), archive: await start() });
  } finally {
    await Promise.all(started.map((server) => server.destroy()));
  }
}

/** Tables everywhere, rows at the shop only. */
export async function fillShop(servers: Servers): Promise<void> {
  const run = (name: ServerName, sql: string) =>
    withConnection({ database: name, url: servers[name].url(), purpose: 'demo setup' }, (db) =>
      db.script(sql),
    );
  await Promise.all([run('shop', SCHEMA + INITIAL_ROWS), run('reports', SCHEMA), run('archive', SCHEMA)]);
}
