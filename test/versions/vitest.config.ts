import { defineConfig } from 'vitest/config';
import all from '../../vitest.config.ts';

/** The suite that runs on every major of Postgres; BUCARDO_TEST_POSTGRES says on which one now. */
export default defineConfig({
  test: { ...all.test, include: ['test/versions/*.test.ts'], exclude: ['**/node_modules/**'] },
});
