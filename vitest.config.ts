import { defineConfig } from 'vitest/config';

/** Where results go as JSON besides the terminal; the gate sums them up. */
const results = process.env['BUCARDO_TEST_RESULTS'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The suite of every major has servers of its own: npm run test:versions.
    // So have those on LocalStack (npm run test:e2e) and chaos (npm run test:chaos). Migrations take many seeds (npm run test:migrations).
    exclude: ['**/node_modules/**', 'test/versions/**', 'test/e2e/**', 'test/chaos/**', 'test/migrations/**'],
    globalSetup: ['test/support/shared-server.ts'],
    reporters: results === undefined ? ['default'] : ['default', ['json', { outputFile: results }]],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
