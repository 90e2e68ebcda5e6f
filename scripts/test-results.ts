/** What a test run came to, as vitest's JSON reporter writes it, summed up over several runs. Pure but for reading files. */
import { readFileSync } from 'node:fs';

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface VitestResults {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

/** A run without results did not get that far: it counts as one failure. */
export const NO_RESULTS: TestCounts = { passed: 0, failed: 1, skipped: 0 };

export function readResults(file: string): TestCounts {
  let results: VitestResults;
  try {
    results = JSON.parse(readFileSync(file, 'utf8')) as VitestResults;
  } catch {
    return NO_RESULTS;
  }
  const { success, numPassedTests, numFailedTests, numPendingTests, numTodoTests } = results;
  return {
    passed: numPassedTests,
    // A file that cannot even be loaded fails the run, but no test of it.
    failed: numFailedTests === 0 && !success ? 1 : numFailedTests,
    skipped: numPendingTests + numTodoTests,
  };
}

export function sumUp(counts: readonly TestCounts[]): TestCounts {
  return counts.reduce(
    (sum, { passed, failed, skipped }) => ({
      passed: sum.passed + passed,
      failed: sum.failed + failed,
      skipped: sum.skipped + skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}

/** `12 passed, 0 failed, 1 skipped` */
export function formatCounts({ passed, failed, skipped }: TestCounts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
