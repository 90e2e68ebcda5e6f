import { defineConfig } from 'vitest/config';

const results = process.env['BUCARDO_TEST_RESULTS'];

/** Takes minutes and the whole machine, hence apart from `npm test`. */
export default defineConfig({
  test: {
    include: ['test/chaos/**/*.test.ts'],
    reporters: results === undefined ? ['default'] : ['default', ['json', { outputFile: results }]],
    pool: 'forks',
    maxWorkers: 1,
    hookTimeout: 60_000,
  },
});
