import { defineConfig } from 'vitest/config';

/** Many seeds of what somebody who migrates a source does: for the night, hence apart from `npm test`. */
export default defineConfig({
  test: {
    include: ['test/migrations/**/*.test.ts'],
    globalSetup: ['test/support/shared-server.ts'],
    pool: 'forks',
    maxWorkers: 1,
    hookTimeout: 60_000,
  },
});
