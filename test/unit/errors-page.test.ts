/** docs/errors.md is what the table of codes says, and every code that documents speak of exists. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ERRORS_PAGE, errorsPage } from '../../scripts/write-errors-page.ts';
import { errorCodes } from '../../shared/errors/codes.ts';

const root = join(import.meta.dirname, '../..');

test('docs/errors.md is up to date (write it anew: node scripts/write-errors-page.ts)', () => {
  expect(readFileSync(ERRORS_PAGE, 'utf8')).toBe(errorsPage());
});

test('the page has every code with its meaning, its remedy and a link that leads to it', () => {
  const page = errorsPage();
  for (const [code, { meaning, remedy }] of Object.entries(errorCodes)) {
    expect(page).toContain(`(#${code.toLowerCase()})`);
    expect(page).toContain(`\n## ${code}\n`);
    expect(page).toContain(meaning);
    expect(page).toContain(remedy);
  }
});

test('every error code that README and documents mention exists', () => {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name))];
  const mentioned = pages.flatMap(
    (page) => readFileSync(join(root, page), 'utf8').match(/BUC(?:-[A-Z]+)+/g) ?? [],
  );
  expect(mentioned.length).toBeGreaterThan(0);
  expect([...new Set(mentioned)].filter((code) => !(code in errorCodes))).toEqual([]);
});
