import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { costOf, sumOf } from '../../cli/cost/model.ts';
import { toAwsSettings } from '../../shared/config/aws-settings.ts';
import type { AwsConfig, Fleet } from '../../shared/config/types.ts';
import { sourceSync } from '../support/captured-source.ts';

function fleetOf(aws: AwsConfig = {}, targets: readonly string[] = ['reports']): Fleet {
  return {
    name: 'test',
    aws: toAwsSettings(aws),
    databases: new Map(),
    syncs: new Map([['orders', sourceSync({ targets })]]),
  };
}

const MILLION = { changesPerMonth: 1e6, changesPerKick: 50 };
const ALONE = { changesPerMonth: 1e6, changesPerKick: 1 };
const BILLION = { changesPerMonth: 1e9, changesPerKick: 50 };

test('a run costs what its requests, its time and its log cost', () => {
  // By hand: four requests at $0.50 a million, one at $0.20, half a GiB for 50.01 ms, 1.2 kB of log.
  const byHand = 4 * 0.5 + 0.2 + 1e6 * 0.5 * 0.05001 * 0.0000133334 + 1.2 * 0.5;
  expect(costOf(fleetOf(), ALONE).dollarsPerMillionChanges).toBeCloseTo(byHand, 6);
});

test('changes in bursts, and many changes, cost at most ten cents a million', () => {
  expect(costOf(fleetOf(), MILLION).dollarsPerMillionChanges).toBeLessThanOrEqual(0.1);
  expect(costOf(fleetOf(), BILLION).dollarsPerMillionChanges).toBeLessThanOrEqual(0.1);
});

test('under load there are four kicks a second at most, however many changes there are', () => {
  const kicks = (changesPerMonth: number) =>
    costOf(fleetOf(), { changesPerMonth, changesPerKick: 1 }).running.find(({ item }) =>
      item.startsWith('replicate, inv'),
    )?.quantity;
  expect(kicks(1e9)).toBe(4 * 730 * 3600);
  expect(kicks(1e12)).toBe(kicks(1e9));
});

test('each lane costs its own runs, and only networks and notifiers that are there cost anything', () => {
  expect(sumOf(costOf(fleetOf({}, ['a', 'b', 'c']), MILLION).running)).toBeCloseTo(
    3 * sumOf(costOf(fleetOf(), MILLION).running),
    9,
  );
  expect(costOf(fleetOf({ notifier: 'none' }), MILLION).notifier).toEqual([]);
  const items = (aws: AwsConfig) => costOf(fleetOf(aws), MILLION).standing.map(({ item }) => item);
  expect(items({})).not.toContain('NAT gateway');
  expect(items({ network: { create: 'nat' } })).toContain('NAT gateway');
  expect(items({ network: { create: 'endpoints' } })).toContain('interface endpoints');
});

test('docs/cost.md says what the model says', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/cost.md'), 'utf8').replaceAll(
    / {2,}/g,
    ' ',
  );
  const { notifier, standing } = costOf(fleetOf({ network: { create: 'nat' } }), MILLION);
  const [processor, memory] = notifier;
  expect(page).toContain(
    `half a GB | ${sumOf([processor, memory].filter((line) => line !== undefined)).toFixed(2)} |`,
  );
  const of = (...items: readonly string[]) =>
    sumOf(standing.filter(({ item }) => items.some((name) => item.startsWith(name)))).toFixed(2);
  expect(page).toContain(`five long polls | ${of('SQS')} |`);
  expect(page).toContain(`with its logs | ${of('sweep', 'logs of sweeps')} |`);
  expect(page).toContain(`a dashboard | ${of('metrics', 'alarms', 'dashboard')} |`);
  expect(page).toContain(`'nat' }\` | ${of('NAT')} |`);
  for (const [usage, text] of [
    [MILLION, 'in a transaction or a burst'],
    [ALONE, 'each alone'],
    [BILLION, 'however they come'],
  ] as const) {
    expect(page).toContain(`${text} | ${costOf(fleetOf(), usage).dollarsPerMillionChanges.toFixed(2)} |`);
  }
});
