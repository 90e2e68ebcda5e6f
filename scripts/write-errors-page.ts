/**
 * Writes docs/errors.md from the table of error codes, so that page and program say the same. A test fails when the page is
 * out of date.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCodes, type Retry } from '../shared/errors/codes.ts';

export const ERRORS_PAGE = join(import.meta.dirname, '../docs/errors.md');

const NEXT: Readonly<Record<Retry, string>> = {
  now: 'It is tried again at once.',
  later: 'It is tried again with growing delay, until it works.',
  never: 'It is not tried again by itself.',
};

export function errorsPage(): string {
  const codes = Object.entries(errorCodes);
  return [
    '<!-- Written by `node scripts/write-errors-page.ts` from shared/errors/codes.ts. Do not edit. -->',
    '',
    '# Errors',
    '',
    'Every error has a stable code. Commands print it with what it concerns and what to do; log events and `bucardo status --json` have it as `code`. Texts name tables, columns, constraints and SQLSTATEs, never row values or passwords.',
    '',
    'No error of a lane loses a change: what was not replicated stays in the delta tables of its source, and other lanes go on.',
    '',
    ...codes.map(([code, { title }]) => `- [${code}](#${code.toLowerCase()}): ${title}`),
    ...codes.flatMap(([code, { title, retry, meaning, remedy }]) => [
      '',
      `## ${code}`,
      '',
      `**${title}.** ${meaning}`,
      '',
      `*What happens next:* ${NEXT[retry]}`,
      '',
      `*What to do:* ${remedy}`,
    ]),
    '',
  ].join('\n');
}

if (import.meta.main) writeFileSync(ERRORS_PAGE, errorsPage());
