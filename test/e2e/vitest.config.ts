import { defineConfig } from 'vitest/config';

const results = process.env['BUCARDO_TEST_RESULTS'];

/** On LocalStack, which needs Python 3.13 or Docker, hence apart from `npm test`. */
export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    reporters: results === undefined ? ['default'] : ['default', ['json', { outputFile: results }]],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // The scenes build upon each other.
    bail: 1,
  },
});
