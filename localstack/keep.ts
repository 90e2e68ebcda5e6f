/** Runs in the background between `localstack:up` and `localstack:down`: LocalStack and two Postgres servers, which end with it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { startPostgres } from '../shared/local/postgres-server.ts';
import { withConnection } from '../shared/postgres/connection.ts';
import { startLocalStack } from './server.ts';
import { removeState, writeState } from './state.ts';

const FOLDER = join(import.meta.dirname, '..', '.cache', 'localstack-state');
const ORDERS =
  'create table public.orders (id bigint generated always as identity primary key, item text not null)';

const port = Number(process.argv[2]);
mkdirSync(FOLDER, { recursive: true });
const [localStack, source, target] = await Promise.all([
  startLocalStack({ folder: FOLDER, port }),
  startPostgres(),
  startPostgres(),
]);
const databases = { source: source.url('postgres'), target: target.url('postgres') };
const secrets = new SecretsManagerClient({
  endpoint: localStack.endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
});
for (const [name, url] of Object.entries(databases)) {
  await withConnection({ database: name, url, purpose: 'set up' }, (db) => db.script(ORDERS));
  await secrets.send(new CreateSecretCommand({ Name: `bucardo/${name}`, SecretString: url }));
}
secrets.destroy();
writeState({
  pid: process.pid,
  endpoint: localStack.endpoint,
  sourceUrl: databases.source,
  targetUrl: databases.target,
});

const stop = async (): Promise<void> => {
  await Promise.all([localStack.stop(), source.stop(), target.stop()]);
  removeState();
  process.exit(0);
};
process.once('SIGTERM', () => void stop());
process.once('SIGINT', () => void stop());
setInterval(() => {}, 2 ** 30);
