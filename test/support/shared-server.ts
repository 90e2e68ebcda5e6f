/** Starts one real Postgres server for the whole test run. `BUCARDO_TEST_POSTGRES` chooses the major. */
import type { TestProject } from 'vitest/node';
import { NEWEST_MAJOR } from '../../shared/local/postgres-binaries.ts';
import { startPostgres } from '../../shared/local/postgres-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    serverUrl: string;
    serverMajor: number;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const major = Number(process.env['BUCARDO_TEST_POSTGRES'] ?? NEWEST_MAJOR);
  // With prepared transactions, which Postgres switches off by default.
  const server = await startPostgres({ major, settings: { max_prepared_transactions: '10' } });
  project.provide('serverUrl', server.url());
  project.provide('serverMajor', major);
  return () => server.destroy();
}
