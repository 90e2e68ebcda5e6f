/** A source whose control tables find themselves in another database or cluster: dumped and restored, copied, renamed. */
import { expect, inject, onTestFinished, test } from 'vitest';
import { startPostgres } from '../../shared/local/postgres-server.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { applySource, planOf, sourceDatabase } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import { dump, restore } from '../support/dump.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { keepCopy, putCopyBack, renameTo } from '../support/other-copy.ts';

const TABLES = `
  create table item (id int primary key, note text);
  create table other (id int primary key);
  insert into item select n, 'start' from generate_series(1, 20) n`;

async function runFrom(lane: LaneFixture, sourceUrl: string): Promise<void> {
  const connections = new ConnectionCache();
  try {
    await runLane(lane.lane, {
      fleet: lane.fleet,
      resolveUrl: async ({ name }) => (name === SOURCE ? sourceUrl : lane.targetUrl()),
      log: lane.log,
      deadlineMs: Date.now() + 60_000,
      connections,
    });
  } finally {
    await connections.close();
  }
}

async function inSource(url: string, body: (db: Connection) => Promise<void>): Promise<void> {
  await withConnection({ database: SOURCE, url, purpose: 'test' }, body);
}

/** Registered tables are the ones that have the names now. */
const STRANGERS = `
  select table_name from bucardo.relation
  where table_oid is distinct from format('%I.%I', schema_name, table_name)::regclass`;

const NEEDED = `select table_name as table, reason from bucardo.copy_needed order by 1`;
const ALL_RESTORED = [
  { table: 'item', reason: 'restored' },
  { table: 'other', reason: 'restored' },
];

test.each(['another cluster', 'another database of the same server'])(
  'a source that was restored from a dump into %s loses no change and asks for copies',
  async (place) => {
    const lane = await createLaneFixture({ schema: TABLES });
    // Far ahead of the new place: its marks would hide everything for long.
    for (let n = 0; n < 50; n += 1) await lane.source.script('select txid_current()');
    await lane.source.script(`update item set note = 'before' where id = 1`);
    await lane.run();
    await lane.source.script(
      `update item set note = 'waiting at the dump' where id = 2; delete from item where id = 3`,
    );
    const dumped = await dump(lane.source);
    await lane.source.script(`insert into item values (100, 'after the dump')`);
    await lane.run();

    let url: string;
    if (place === 'another cluster') {
      const server = await startPostgres({ major: inject('serverMajor') });
      onTestFinished(() => server.destroy());
      url = server.url();
      await inSource(url, (db) => db.script(`set search_path to public; ${TABLES}`));
    } else {
      url = (await createDatabase(TABLES)).url;
    }
    await applySource(url, [lane.sync], sourceDatabase('poll', SOURCE));
    await inSource(url, (db) => restore(db, dumped));
    await inSource(url, (db) =>
      db.script(
        `insert into public.item values (101, 'in the new place'); update public.item set note = 'new' where id = 4`,
      ),
    );

    await runFrom(lane, url);
    expect(lane.events.map(({ event }) => event)).toContain('lane.source.restored');
    expect(await lane.target.rows(`select id, note from item where note <> 'start' order by id`)).toEqual([
      { id: 1, note: 'before' },
      { id: 2, note: 'waiting at the dump' },
      { id: 4, note: 'new' },
      { id: 100, note: 'after the dump' },
      { id: 101, note: 'in the new place' },
    ]);
    expect(await lane.target.rows('select from item where id = 3')).toEqual([]);
    await inSource(url, async (db) => {
      expect(await db.rows(STRANGERS)).toEqual([]);
      expect(await db.rows(NEEDED)).toEqual(ALL_RESTORED);
      await requestCopy(db, { sync: lane.sync.name });
    });
    await runFrom(lane, url);
    await inSource(url, async (db) => {
      const all = 'select * from public.item order by id';
      expect(await lane.target.rows(all)).toEqual(await db.rows(all));
      expect(await db.rows('select from bucardo.copy_needed')).toEqual([]);
    });
  },
);

test('an older copy that took the source’s place on the same server is noticed, and everything in it is pending', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  await lane.source.script(`update item set note = 'waiting in the copy' where id = 2`);
  await lane.away(() => keepCopy(lane.sourceUrl));
  await lane.source.script(`insert into item values (100, 'after the copy')`);
  await lane.run();
  await lane.away(() => putCopyBack(lane.sourceUrl));

  await lane.source.script(`update item set note = 'in the copy' where id = 5`);
  await lane.run();
  expect(lane.events.map(({ event }) => event)).toContain('lane.source.restored');
  expect(await lane.source.rows(NEEDED)).toEqual(ALL_RESTORED);
  expect(await lane.target.rows(`select id, note from item where note <> 'start' order by id`)).toEqual([
    { id: 1, note: 'before' },
    { id: 2, note: 'waiting in the copy' },
    { id: 5, note: 'in the copy' },
    { id: 100, note: 'after the copy' },
  ]);
  await requestCopy(lane.source, { sync: lane.sync.name });
  await lane.run();
  await lane.expectEqual();
  expect(await lane.source.rows(NEEDED)).toEqual([]);
});

test('a source in another place with a table and a delta table missing is taken over by apply', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.away(() => keepCopy(lane.sourceUrl));
  await lane.away(() => putCopyBack(lane.sourceUrl));
  await lane.source.script(`drop table bucardo.delta_public_item; drop table other`);
  const apply = () => applySource(lane.sourceUrl, [lane.sync], sourceDatabase('poll', SOURCE));
  const { steps } = await apply();
  expect(steps.map(({ title }) => title)).toEqual(
    expect.arrayContaining([
      'Take over the queue tables of another database: everything becomes pending',
      expect.stringContaining('Bring the capture of public.item up to date'),
      'Stop capturing public.other',
    ]),
  );
  expect((await planOf(lane.sourceUrl, [lane.sync], sourceDatabase('poll', SOURCE))).steps).toEqual([]);
  expect(await lane.source.rows(NEEDED)).toEqual([{ table: 'item', reason: 'restored' }]);
});

test('a source whose database was renamed is the same place', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.run();
  await lane.source.script(`update item set note = 'waiting' where id = 2`);
  const renamed = new URL(lane.sourceUrl);
  const name = renamed.pathname.slice(1);
  renamed.pathname = `/${name}_new`;
  await lane.away(async () => {
    await renameTo(lane.sourceUrl, `${name}_new`);
    await runFrom(lane, renamed.href);
    await renameTo(renamed.href, name);
  });
  await lane.expectEqual();
  expect(lane.events.filter(({ level }) => level !== 'info')).toEqual([]);
  expect(await lane.source.rows(NEEDED)).toEqual([]);
});

test('a lane whose source cannot be made at home ends with an error instead of trying without end', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.source.script(`
    update bucardo.progress set system_identifier = 1;
    create function keep() returns trigger language plpgsql as $$
    begin new.system_identifier := old.system_identifier; return new; end $$;
    create trigger keep before update on bucardo.progress for each row execute function keep()`);
  await expect(lane.run()).rejects.toMatchObject({ code: 'BUC-SOURCE-UNSTEADY' });
  expect(await lane.status()).toMatchObject({ code: 'BUC-SOURCE-UNSTEADY', failures: 1 });
  await lane.source.script(`
    drop function keep() cascade;
    update item set note = 'then' where id = 1`);
  await lane.run();
  await lane.expectEqual();
});
