/** The demo's command line. Pure. */
import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** How long the shop's applications write. */
  readonly seconds: number;
  /** The same seed makes the same applications; how their transactions interleave is up to the servers. */
  readonly seed: number;
  /** Leave everything running after the verdict. */
  readonly keep: boolean;
  /** Write the fleet's events to standard error instead of a file. */
  readonly verbose: boolean;
}

export const USAGE = `npm run demo -- [options]

One Postgres source, two targets and everything between them, on this machine, in one process.

  --seconds N  how long the shop's applications write, 4 to 600 (default: 18)
  --seed N     what they write (default: 1)
  --keep       leave it running afterwards, and print the URLs
  --verbose    events of the fleet on standard error instead of in a file
  --help       this text

Exit status: 0 source and targets are equal, 1 they are not or something failed, 2 wrong use.`;

/** @returns what is wanted, or `help`, or what is wrong with it */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' | { readonly wrong: string } {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string', default: '18' },
        seed: { type: 'string', default: '1' },
        keep: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : 'these options cannot be read' };
  }
  const { keep, verbose, help } = values;
  if (help) return 'help';
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  if (!(seconds >= 4 && seconds <= 600)) return { wrong: '--seconds takes a number from 4 to 600' };
  if (!Number.isSafeInteger(seed)) return { wrong: '--seed takes a whole number' };
  return { seconds, seed, keep, verbose };
}
