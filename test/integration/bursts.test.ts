/**
 * Bursts of concurrent short transactions through the whole local fleet: every change arrives soon after its burst,
 * although no sweep ever runs.
 */
import { expect, test } from 'vitest';
import { sourceSync } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import { LiveFleet } from '../support/live-fleet.ts';
import { randomFrom } from '../support/random.ts';

const TABLE = 'create table item (id serial primary key, note text, n int)';
const BURSTS = Number(process.env['BUCARDO_BURSTS'] ?? 25);
const SESSIONS = 12;
/** Far above what it takes (a tenth of a second), far below a sweep's interval. */
const ARRIVAL_SECONDS = 15;

test(`after each of ${BURSTS} bursts of hundreds of transactions everything arrives without a sweep`, async () => {
  const source = await createDatabase(TABLE);
  const target = await createDatabase(TABLE);
  const urls = new Map([
    ['east', source.url],
    ['reports', target.url],
  ]);
  const live = new LiveFleet({ sync: sourceSync({ copy: 'never' }), urlOf: (name) => urls.get(name) ?? '' });
  await live.apply();
  await live.start();
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => source.app()));
  let transactions = 0;
  for (let burst = 0; burst < BURSTS; burst += 1) {
    const size = [1, 2, 5, 25][burst % 4]!;
    await Promise.all(
      sessions.map(async (session, writer) => {
        const random = randomFrom(burst * 1_000 + writer);
        for (let n = 0; n < size; n += 1) {
          transactions += 1;
          await session.script(
            random.pick([
              `insert into item (note, n) values ('burst ${burst}', ${writer})`,
              `begin isolation level repeatable read; insert into item (note, n) values ('begun', ${writer}); savepoint s;
               update item set note = 'saved' where n = ${writer} and id % 7 = 0; release s; commit`,
              `update item set note = 'changed ${burst}' where n = ${writer} and id % 5 = ${n % 5}`,
              `delete from item where n = ${writer} and id % 11 = 0`,
              `begin; insert into item (note) values ('never'); rollback`,
            ]),
          );
        }
      }),
    );
    await live.settle(ARRIVAL_SECONDS);
    await live.expectEqual(['item'], `after burst ${burst}`);
  }
  expect(transactions).toBeGreaterThan(1_000);
  await live.stop();
}, 240_000);
