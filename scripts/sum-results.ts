/**
 * `node scripts/sum-results.ts FOLDER`: sums up all results (NAME.json, NAME-….json) in a folder, in one line. A file
 * NAME.failed says that the command itself failed, which counts as one failure if no test of it did. Exit status 1 if
 * anything failed or nothing ran.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatCounts, NO_RESULTS, readResults, sumUp } from './test-results.ts';

const folder = process.argv[2] ?? '.';
const files = readdirSync(folder);
const countsOf = (names: readonly string[]) => sumUp(names.map((name) => readResults(join(folder, name))));

const ofTests = countsOf(files.filter((name) => name.endsWith('.json')));
const ofCommands = files
  .filter((name) => name.endsWith('.failed'))
  .map((name) => name.replace(/\.failed$/, ''))
  .map((run) => countsOf(files.filter((name) => name === `${run}.json` || name.startsWith(`${run}-`))))
  .filter(({ failed }) => failed === 0)
  .map(() => NO_RESULTS);
const sum = sumUp([ofTests, ...ofCommands]);
console.log(formatCounts(sum));
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
