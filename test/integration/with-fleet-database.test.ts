/** A password may be rotated between its reading and the login: who is refused asks anew, once. */
import { expect, test } from 'vitest';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { withFleetDatabase } from '../../shared/config/with-fleet-database.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { sourceDatabase } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';

const FLEET: Fleet = {
  name: 'test',
  databases: new Map([['east', sourceDatabase('notify', 'east')]]),
  syncs: new Map(),
  aws: DEFAULT_AWS_SETTINGS,
};

test('a refused login is tried once more with the URL as it is now', async () => {
  const database = await createDatabase();
  const refused = async () => database.urlAs('nobody_of_this_name');
  const rotated = withFleetDatabase(FLEET, 'test', refused, async () => database.url);
  expect(await rotated('east', (db) => db.row('select 1 as one'))).toEqual({ one: 1 });
  let asked = 0;
  const wrong = withFleetDatabase(FLEET, 'test', refused, () => {
    asked += 1;
    return refused();
  });
  await expect(wrong('east', async () => {})).rejects.toMatchObject({
    code: 'BUC-DB-AUTH',
    concern: { database: 'east' },
  });
  expect(asked).toBe(1);
});

test('what fails after the login is not done twice', async () => {
  const { url } = await createDatabase();
  let times = 0;
  const connected = withFleetDatabase(
    FLEET,
    'test',
    async () => url,
    () => Promise.reject(new Error('was asked')),
  );
  const failing = connected('east', async () => {
    times += 1;
    throw new BucardoError('BUC-QUEUE-FAILED');
  });
  await expect(failing).rejects.toMatchObject({ code: 'BUC-QUEUE-FAILED' });
  expect(times).toBe(1);
});

test('a database that the configuration does not have is named, with those that it has', async () => {
  const unknown = withFleetDatabase(FLEET, 'test')('west', async () => {});
  await expect(unknown).rejects.toMatchObject({
    code: 'BUC-LANE-UNKNOWN',
    message: expect.stringContaining('the configuration has: east') as string,
  });
});
