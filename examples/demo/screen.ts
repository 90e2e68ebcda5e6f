/**
 * What the demo shows. In a terminal the present state is a table below the text, redrawn in place; elsewhere it is one plain
 * line after the other.
 */
import type { WriteStream } from 'node:tty';

export interface Screen {
  /** Prints lines that stay. */
  say(...lines: readonly string[]): void;
  /** Shows how things are now. @param plain the same in one line, for where nothing can be redrawn */
  show(table: readonly string[], plain: string): void;
  /** What was shown last stays. */
  settle(): void;
}

type Output = Pick<WriteStream, 'write'> & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

export function createScreen(output: Output): Screen {
  const redraws = output.isTTY === true;
  let shown: readonly string[] = [];

  /** A line that wraps would spoil the count of lines to go up. */
  const fit = (line: string): string => line.slice(0, (output.columns ?? 80) - 1);
  const clear = (): string => (shown.length === 0 ? '' : `\u001B[${shown.length}A\u001B[J`);
  const draw = (above: readonly string[], table: readonly string[]): void => {
    const fitting = table.map(fit);
    output.write(`${clear()}${[...above, ...fitting].map((line) => `${line}\n`).join('')}`);
    shown = fitting;
  };

  return {
    say: (...lines) => draw(lines, shown),
    show: (table, plain) => (redraws ? draw([], ['', ...table]) : draw([plain], [])),
    settle() {
      if (shown.length > 0) output.write('\n');
      shown = [];
    },
  };
}
