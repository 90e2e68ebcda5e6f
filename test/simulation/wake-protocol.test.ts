/**
 * The wake-up protocol under every interleaving that many seeds come to, with the notifier's real decisions. A failing
 * seed is printed with the command that replays it; then the seed's steps are printed as well.
 */
import { describe, expect, test } from 'vitest';
import { type BrokenRule, play, type Scenario } from './wake-model.ts';

const SEEDS = Number(process.env['SEEDS'] ?? 20_000);
const SEED = process.env['SEED'];

type Kind = Omit<Scenario, 'seed' | 'trace'>;

function seeds(): Iterable<number> {
  return SEED === undefined ? Array.from({ length: SEEDS }, (_, index) => index + 1) : [Number(SEED)];
}

/** The first seed that misses a change, or undefined. */
function firstMiss(kind: Kind): { readonly commits: number; readonly miss: string | undefined } {
  let commits = 0;
  for (const seed of seeds()) {
    const trace = SEED === undefined ? undefined : (line: string) => console.log(line);
    const verdict = play({ ...kind, seed, trace });
    commits += verdict.commits;
    if (verdict.missed.length > 0) {
      const replay = `SEED=${seed} npx vitest run test/simulation/wake-protocol.test.ts`;
      return { commits, miss: `no kick followed ${verdict.missed.join(', ')}; replay with: ${replay}` };
    }
  }
  return { commits, miss: undefined };
}

describe('a kick follows every committed change', () => {
  const kinds: readonly (readonly [string, Kind])[] = [
    ['without any heartbeat or sweep', { wake: 'notify', rough: false }],
    ['at sources that are polled', { wake: 'poll', rough: false }],
    [
      'by the heartbeat at the latest, with a second notifier and statements that arrive late',
      { wake: 'notify', rough: true },
    ],
  ];
  test.each(kinds)('%s', { timeout: 240_000 }, (_, kind) => {
    const { commits, miss } = firstMiss(kind);
    expect(miss).toBeUndefined();
    expect(commits).toBeGreaterThan(0);
  });
});

describe.skipIf(SEED !== undefined)('every rule is needed: changes are missed when', () => {
  const rules: readonly BrokenRule[] = [
    'nothing is watched after arming',
    'only what the snapshot lists is watched',
    'the look comes before arming',
    'notifications during a look are forgotten',
    'refused kicks count as sent',
    'nothing is kicked on connecting',
    'writers read the flag before they insert',
    'the flag is a row of a table',
  ];
  test.each(rules)('%s', { timeout: 240_000 }, (broken) => {
    expect(firstMiss({ wake: 'notify', rough: false, broken }).miss).toMatch(/no kick followed/);
  });
});
