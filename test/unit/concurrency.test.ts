import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import {
  CONNECTIONS_PER_RUN,
  LEAST_MAX_CONNECTIONS,
  maximumConcurrency,
} from '../../shared/config/concurrency.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { rdsTls } from '../../shared/postgres/rds-tls.ts';
import { sourceSync } from '../support/captured-source.ts';

function fleetOf(
  limits: readonly (number | undefined)[],
  syncs: readonly { readonly source: number; readonly targets: readonly number[] }[],
): Fleet {
  const name = (index: number): string => `d${index}`;
  return {
    name: 'test',
    aws: DEFAULT_AWS_SETTINGS,
    databases: new Map(
      limits.map((maxConnections, index) => [
        name(index),
        { name: name(index), engine: 'postgres', url: '', wake: 'notify', maxConnections },
      ]),
    ),
    syncs: new Map(
      syncs.map(({ source, targets }, index) => [
        `s${index}`,
        { ...sourceSync({ sync: `s${index}`, targets: targets.map(name) }), source: name(source) },
      ]),
    ),
  };
}

test('no database gets more connections than it allows, notifiers, sweep and people included', () => {
  const limit = fc.integer({ min: LEAST_MAX_CONNECTIONS, max: 200 });
  const sync = fc.record({
    source: fc.nat(4),
    targets: fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(
      fc.array(limit, { minLength: 5, maxLength: 5 }),
      fc.array(sync, { minLength: 1, maxLength: 60 }),
      (limits, syncs) => {
        const runs = maximumConcurrency(fleetOf(limits, syncs));
        for (const [index, allowed] of limits.entries()) {
          const isSource = syncs.some(({ source }) => source === index);
          const isUsed = isSource || syncs.some(({ targets }) => targets.includes(index));
          if (!isUsed) continue;
          // Two notifiers while one is replaced, a sweep, somebody's command.
          expect(runs * CONNECTIONS_PER_RUN + (isSource ? 4 : 0)).toBeLessThanOrEqual(allowed);
        }
        expect(runs).toBeGreaterThanOrEqual(2);
      },
    ),
  );
});

test('no more run than there are lanes, since a lane is run by one at a time', () => {
  expect(maximumConcurrency(fleetOf([undefined, undefined], [{ source: 0, targets: [1] }]))).toBe(2);
  const targets = Array.from({ length: 12 }, (_, index) => index + 1);
  expect(maximumConcurrency(fleetOf(Array<undefined>(13).fill(undefined), [{ source: 0, targets }]))).toBe(
    12,
  );
});

test('a database that no lane uses bounds nothing', () => {
  const targets = Array.from({ length: 9 }, (_, index) => index + 1);
  const limits = [...Array<undefined>(10).fill(undefined), LEAST_MAX_CONNECTIONS];
  expect(maximumConcurrency(fleetOf(limits, [{ source: 0, targets }]))).toBe(9);
});

const RDS = 'postgres://u:p@shop.abc.eu-west-1.rds.amazonaws.com:5432/shop';

test('RDS and Aurora are verified by AWS’s own CAs, whether the URL speaks of TLS or not', async () => {
  for (const url of [RDS, `${RDS}?sslmode=verify-full`, RDS.replace('amazonaws.com', 'amazonaws.com.cn')]) {
    const tls = await rdsTls(url);
    expect(tls?.url).not.toContain('sslmode');
    expect(tls?.ssl).toMatchObject({ rejectUnauthorized: true });
    expect(tls?.ssl.checkServerIdentity).toBeUndefined();
    const authorities = (tls?.ssl.ca ?? []) as string[];
    expect(authorities.length).toBeGreaterThan(50);
    expect(authorities[0]).toMatch(/^-----BEGIN CERTIFICATE-----/);
  }
  expect((await rdsTls(`${RDS}?sslmode=verify-ca`))?.ssl.checkServerIdentity).toBeDefined();
});

test('what a URL says of TLS is obeyed, and other hosts are none of our business', async () => {
  for (const url of [
    `${RDS}?sslmode=require`,
    `${RDS}?sslmode=disable`,
    `${RDS}?sslmode=verify-full&sslrootcert=/ca.pem`,
    'postgres://u@db.example/shop',
    'postgres://u@rds.amazonaws.com.example/shop',
    'no url',
  ])
    expect(await rdsTls(url), url).toBeUndefined();
});
