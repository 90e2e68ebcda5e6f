/**
 * `npm run test:versions [-- MAJOR …]`: runs the suite in test/versions on every supported major of Postgres, one after the
 * other, and prints one line for each. The servers are npm packages, installed when they are first needed. Exit status 1
 * if anything failed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasPostgres, NEWEST_MAJOR, OLDEST_MAJOR } from '../shared/local/postgres-binaries.ts';
import { formatCounts, NO_RESULTS, readResults, sumUp, type TestCounts } from './test-results.ts';

const root = join(import.meta.dirname, '..');

/** Far more than the suite takes on a slow machine. */
const TIMEOUT_MS = 300_000;

const supported = Array.from({ length: NEWEST_MAJOR - OLDEST_MAJOR + 1 }, (_, index) => OLDEST_MAJOR + index);
const majors = process.argv.length > 2 ? process.argv.slice(2).map(Number) : supported;

if (!majors.every((major) => supported.includes(major))) {
  console.error(`Majors are ${OLDEST_MAJOR} to ${NEWEST_MAJOR}.`);
  process.exit(2);
}
if (!majors.every(hasPostgres)) {
  console.log('Installing the servers of test/versions …');
  spawnSync('npm', ['ci', '--prefix', 'test/versions'], { cwd: root, stdio: 'inherit' });
}

// The gate keeps the results; otherwise they are needed only until they are counted.
const given = process.env['BUCARDO_TEST_RESULTS'];
const folder = mkdtempSync(join(tmpdir(), 'bucardo-versions-'));
const counts = majors.map((major) => runSuite(major));
rmSync(folder, { recursive: true, force: true });
const sum = sumUp(counts);
console.log(formatCounts(sum));
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;

function runSuite(major: number): TestCounts {
  if (!hasPostgres(major)) {
    console.log(
      `Postgres ${major}: SKIPPED, there is no package of it for ${process.platform}-${process.arch}`,
    );
    return { passed: 0, failed: 0, skipped: 1 };
  }
  const startedAtMs = performance.now();
  const results =
    given === undefined ? join(folder, `${major}.json`) : given.replace(/\.json$/, `-${major}.json`);
  const { status, stdout, stderr } = spawnSync(
    join(root, 'node_modules', '.bin', 'vitest'),
    ['run', '--config', 'test/versions/vitest.config.ts'],
    {
      cwd: root,
      env: { ...process.env, BUCARDO_TEST_POSTGRES: String(major), BUCARDO_TEST_RESULTS: results },
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    },
  );
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  const counted = readResults(results);
  const found = status === 0 || counted.failed > 0 ? counted : sumUp([counted, NO_RESULTS]);
  console.log(`Postgres ${major}: ${formatCounts(found)} (${seconds} s)`);
  if (found.failed > 0) console.log(`${stdout}${stderr}`);
  return found;
}
