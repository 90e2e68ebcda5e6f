/** Runs in the background between `localstack:up` and `localstack:down`: LocalStack and two Postgres servers, which end with it. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { type PostgresServer, startPostgres } from '../shared/local/postgres-server.ts';
import { withConnection } from '../shared/postgres/connection.ts';
import { CREDENTIALS, REGION } from './aws-environment.ts';
import { knowProcess } from './known-process.ts';
import { runProgram } from './run-program.ts';
import { startLocalStack } from './server.ts';
import { type KnownDatabase, removeState, STATE_FOLDER, writeState } from './state.ts';

const ORDERS =
  'create table public.orders (id bigint generated always as identity primary key, item text not null)';

await runProgram(async () => {
  // What functions of an earlier LocalStack left.
  rmSync(join(STATE_FOLDER, 'tmp'), { recursive: true, force: true });
  mkdirSync(STATE_FOLDER, { recursive: true });
  const localStack = await startLocalStack({ folder: STATE_FOLDER, port: Number(process.argv[2]) });
  const [source, target] = await Promise.all([startPostgres(), startPostgres()]);

  const stop = async (): Promise<void> => {
    await Promise.all([localStack.stop(), source.destroy(), target.destroy()]);
    removeState();
    process.exit(0);
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());

  await prepare(localStack.endpoint, { source, target });
  writeState({
    keeper: knowProcess(process.pid),
    localStack: knowProcess(localStack.pid),
    databases: [source, target].map(knowDatabase),
    endpoint: localStack.endpoint,
    sourceUrl: source.url(),
    targetUrl: target.url(),
  });
});
// Nothing else would keep this process.
setInterval(() => {}, 2 ** 30);

/** A table in each database, and the database's URL as a secret. */
async function prepare(
  endpoint: string,
  servers: Readonly<Record<'source' | 'target', PostgresServer>>,
): Promise<void> {
  const secrets = new SecretsManagerClient({ endpoint, region: REGION, credentials: CREDENTIALS });
  for (const [name, server] of Object.entries(servers)) {
    const url = server.url();
    await withConnection({ database: name, url, purpose: 'set up' }, (db) => db.script(ORDERS));
    await secrets.send(new CreateSecretCommand({ Name: `bucardo/${name}`, SecretString: url }));
  }
  secrets.destroy();
}

function knowDatabase({ data }: PostgresServer): KnownDatabase {
  // The file by which Postgres itself knows that it runs.
  const [pid] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
  return { ...knowProcess(Number(pid)), folder: dirname(data) };
}
