/** Purge beside what gets in its way: publications, errors of one table, a deadline. */
import { describe, expect, test } from 'vitest';
import { adoptSource } from '../../shared/capture/adopt-source.ts';
import { CONTROL_TABLES } from '../../shared/capture/control-schema.ts';
import { purge, type PurgeSettings } from '../../shared/capture/purge.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { readStatus } from '../../shared/status/read-status.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { createDatabase } from '../support/database.ts';
import { applySource, planOf, sourceSync, withSource } from '../support/captured-source.ts';

const log = silentLog;
const TABLES = `create table a (id int primary key); create table b (id int primary key)`;

async function run(url: string, settings: Partial<PurgeSettings> = {}) {
  return await withSource(url, (db) => purge(db, { retentionSeconds: 3600, log, ...settings }));
}

/** Everything so far is with all targets, and was recorded long ago. */
async function ripen(url: string, db: Connection): Promise<void> {
  await db.run(`update bucardo.progress set mark = txid_current_snapshot()`);
  await db.run(`delete from bucardo.purge_mark`);
  await run(url);
  await db.run(`update bucardo.purge_mark set marked_at = marked_at - interval '2 hours'`);
}

async function count(db: Connection, table: string): Promise<number> {
  return (await db.row<{ n: number }>(`select count(*)::int as n from bucardo.${table}`)).n;
}

describe('a publication for all tables', () => {
  test('finds a replica identity on every table in schema bucardo', async () => {
    const database = await createDatabase(`${TABLES}; create publication everything for all tables`);
    await applySource(database.url);
    const db = await database.app();
    const tables = await db.rows<{ name: string; identified: boolean }>(
      `select c.relname as name, c.relreplident = 'f' or c.relreplident = 'd'
         and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) as identified
       from pg_class c where c.relnamespace = 'bucardo'::regnamespace and c.relkind = 'r' order by 1`,
    );
    expect(tables.map(({ name }) => name).toSorted()).toEqual(
      [...CONTROL_TABLES, 'delta_public_a', 'delta_public_b'].toSorted(),
    );
    expect(tables.filter(({ identified }) => !identified)).toEqual([]);
    for (const { name } of tables) {
      const [column] = await db.rows<{ name: string }>(
        `select quote_ident(attname) as name from pg_attribute where attrelid = format('bucardo.%I', $1::text)::regclass and attnum = 1`,
        [name],
      );
      // The server decides by the table, before it looks for rows.
      await db.script(`update bucardo.${name} set ${column!.name} = ${column!.name} where false;
        delete from bucardo.${name} where false`);
    }
  });

  test('keeps nothing from being purged, or a restored source from being adopted', async () => {
    const database = await createDatabase(`${TABLES}; create publication everything for all tables`);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`insert into a values (1); insert into b values (1); truncate b`);
    await ripen(database.url, db);
    expect(await run(database.url)).toEqual({ deleted: 3, failed: 0, unfinished: 0 });
    await db.script(`insert into a values (2);
      update bucardo.origin set system_identifier = system_identifier + 1`);
    expect(await withSource(database.url, adoptSource)).toBe(true);
    expect(await count(db, 'delta_public_a')).toBe(1);
  });

  test('that an earlier version knew nothing of is made good by apply, or by adoption', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    const identityOf = async () =>
      (
        await db.rows<{ identity: string }>(
          `select relreplident as identity from pg_class where relname in ('delta_public_a', 'delta_public_b')`,
        )
      ).map(({ identity }) => identity);
    const before = `alter table bucardo.delta_public_a replica identity default;
      alter table bucardo.delta_public_b replica identity default`;
    await db.script(
      `${before}; create publication everything for all tables; insert into a values (1); insert into b values (1)`,
    );
    const { steps } = await applySource(database.url);
    expect(steps.map(({ title }) => title)).toEqual([
      'Bring the capture of public.a up to date',
      'Bring the capture of public.b up to date',
    ]);
    expect(await identityOf()).toEqual(['f', 'f']);
    expect((await planOf(database.url)).steps).toEqual([]);

    await db.script(`${before}; update bucardo.origin set system_identifier = system_identifier + 1`);
    expect(await withSource(database.url, adoptSource)).toBe(true);
    expect(await identityOf()).toEqual(['f', 'f']);
  });
});

describe('a table whose purge fails', () => {
  test('delays no other, is told by status, and is forgotten when it goes well again', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ copy: 'never' })]);
    const db = await database.app();
    await db.script(`insert into a values (1); insert into b values (1)`);
    await ripen(database.url, db);
    await db.script(`
      alter table bucardo.delta_public_a replica identity nothing; create publication everything for all tables`);
    for (const times of [1, 2]) {
      expect(await run(database.url)).toEqual({ deleted: times === 1 ? 1 : 0, failed: 1, unfinished: 0 });
      expect(await db.rows(`select table_name, failures from bucardo.purge_failure`)).toEqual([
        { table_name: 'a', failures: times },
      ]);
    }
    expect(await count(db, 'delta_public_b')).toBe(0);
    const status = async () =>
      (await withSource(database.url, (source) => readStatus(source, [sourceSync()])))[0]!;
    expect((await status()).purgeFailures).toMatchObject([
      { relation: 'public.a', code: 'BUC-DB-FAILED', message: expect.stringContaining('replica identity') },
    ]);
    await applySource(database.url, [sourceSync({ copy: 'never' })]);
    expect(await run(database.url)).toEqual({ deleted: 1, failed: 0, unfinished: 0 });
    expect(await count(db, 'delta_public_a')).toBe(0);
    expect((await status()).purgeFailures).toEqual([]);
  });
});

describe('a deadline', () => {
  /** A clock that goes on by one whenever it is asked. */
  function clock(): () => number {
    let time = 0;
    return () => (time += 1);
  }

  test('ends a call, and the next goes on at its place, until a huge table is through', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`insert into a select generate_series(1, 60000); insert into b values (1)`);
    await ripen(database.url, db);
    await db.script(`insert into a values (0)`);
    const deleted: number[] = [];
    let unfinished = 1;
    while (unfinished > 0) {
      const outcome = await run(database.url, { deadlineMs: 2, now: clock() });
      deleted.push(outcome.deleted);
      ({ unfinished } = outcome);
    }
    expect(deleted.length).toBeGreaterThan(3);
    // No page is walked twice: every call finds its share.
    expect(deleted.slice(0, -1).filter((rows) => rows === 0)).toEqual([]);
    expect(deleted.reduce((sum, rows) => sum + rows, 0)).toBe(60_001);
    expect(await count(db, 'delta_public_a')).toBe(1);
  });

  test('keeps no table from its turn beside a huge one', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`insert into a select generate_series(1, 60000); insert into b values (1)`);
    await ripen(database.url, db);
    await run(database.url, { deadlineMs: 0, now: clock() });
    await run(database.url, { deadlineMs: 0, now: clock() });
    expect(await count(db, 'delta_public_b')).toBe(0);
    expect(await count(db, 'delta_public_a')).toBeGreaterThan(30_000);
  });

  test('that was passed while nothing was covered leaves everything', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`insert into a values (1)`);
    expect(await run(database.url, { deadlineMs: 0, now: clock() })).toEqual({
      deleted: 0,
      failed: 0,
      unfinished: 0,
    });
    expect(await count(db, 'delta_public_a')).toBe(1);
  });
});
