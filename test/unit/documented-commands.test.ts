/** Every command that a document, an error or a comment of the configuration tells people to type exists, with its options. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../../cli/program.ts';
import { errorCodes } from '../../shared/errors/codes.ts';

const ROOT = join(import.meta.dirname, '../..');
const pages = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)];

/** In code, on lines of their own or within text: `bucardo kick orders --to reports`. */
function commandsIn(text: string): readonly string[] {
  const fenced = [...text.matchAll(/^(?:npx )?bucardo ([a-z][^#\n]*)/gm)];
  const inline = [...text.matchAll(/`(?:npx )?bucardo ([a-z][^`]*)`/g)];
  return [...fenced, ...inline].map(([, words = '']) => words.trim());
}

/** What is wrong with it, or undefined. */
function problemOf(words: string): string | undefined {
  const program = createProgram();
  let command: Command = program;
  for (const word of words.split(/\s+/)) {
    const [option] = /^--[a-z-]+/.exec(word.replace(/^\[/, '')) ?? [];
    if (option !== undefined) {
      if (![command, program].some(({ options }) => options.some(({ long }) => long === option))) {
        return `${command.name()} has no option ${option}`;
      }
      continue;
    }
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next !== undefined) command = next;
    else if (command === program) return `there is no command ${word}`;
  }
  return undefined;
}

test.each(pages)('%s', (page) => {
  const commands = commandsIn(readFileSync(join(ROOT, page), 'utf8'));
  expect(commands.map((words) => problemOf(words)).filter((problem) => problem !== undefined)).toEqual([]);
});

test('what errors tell people to do', () => {
  const commands = Object.values(errorCodes).flatMap(({ remedy, meaning }) =>
    commandsIn(`${remedy}\n${meaning}`),
  );
  expect(commands.length).toBeGreaterThan(10);
  expect(commands.map((words) => problemOf(words)).filter((problem) => problem !== undefined)).toEqual([]);
});

test('the check finds what is not there', () => {
  expect(problemOf('kick orders --to reports --wait')).toBeUndefined();
  expect(problemOf('rejected list SYNC [--to TARGET]')).toBeUndefined();
  expect(problemOf('kickk orders')).toBe('there is no command kickk');
  expect(problemOf('kick orders --now')).toBe('kick has no option --now');
});
