/** What takes deltas or the whole of capture away again: uninstall, purge, another cluster. */
import { describe, expect, test } from 'vitest';
import { adoptSource } from '../../shared/capture/adopt-source.ts';
import { purge } from '../../shared/capture/purge.ts';
import { readInstalled } from '../../shared/capture/installed.ts';
import { planUninstall, uninstall } from '../../shared/capture/uninstall.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { createDatabase } from '../support/database.ts';
import { applySource, deltasOf, planOf, sourceSync, withSource } from '../support/captured-source.ts';

const TABLES = `create table a (id int primary key); create table b (id int primary key)`;
const log = silentLog;

describe('uninstall', () => {
  test('leaves nothing, and says so by the catalogs', async () => {
    const database =
      await createDatabase(`${TABLES}; create table p (id int primary key) partition by hash (id);
      create table p0 partition of p for values with (modulus 1, remainder 0)`);
    const db = await database.app();
    const objects = `select (select count(*) from pg_class) + (select count(*) from pg_proc) + (select count(*) from pg_trigger)
      + (select count(*) from pg_type) + (select count(*) from pg_namespace where nspname !~ '^pg_(toast_)?temp') as n`;
    const before = await db.row(objects);
    await applySource(database.url);
    await db.script(`insert into a values (1); insert into p values (1); truncate b`);
    expect(await db.row(objects)).not.toEqual(before);
    const planned = await withSource(database.url, async (source) =>
      planUninstall(await readInstalled(source)),
    );
    expect(planned.map(({ title }) => title)).toEqual([
      'Stop capturing public.a',
      'Stop capturing public.b',
      'Stop capturing public.p',
      'Drop the control tables',
    ]);
    expect(await withSource(database.url, (source) => uninstall(source, { log }))).toEqual({
      remaining: [],
      foreign: [],
    });
    expect(await db.row(objects)).toEqual(before);
    await db.script(`insert into a values (2); update p set id = 2; delete from p; truncate p`);
    expect(await withSource(database.url, (source) => uninstall(source, { log }))).toEqual({
      remaining: [],
      foreign: [],
    });
    await applySource(database.url);
    await db.run(`insert into a values (3)`);
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['3']);
  });

  test('leaves what is not ours in the schema, and names it', async () => {
    const database = await createDatabase(`${TABLES}; create schema bucardo;
      create table bucardo.bucardo_delta_names (sync text);
      create function bucardo.bucardo_kick_x() returns trigger language plpgsql as 'begin return null; end';
      create trigger bucardo_kick_x after insert on a for each statement execute function bucardo.bucardo_kick_x()`);
    await applySource(database.url);
    expect(await withSource(database.url, (source) => uninstall(source, { log }))).toEqual({
      remaining: [],
      foreign: ['function bucardo.bucardo_kick_x', 'table bucardo.bucardo_delta_names'],
    });
    const db = await database.app();
    expect(await db.rows(`select tgname from pg_trigger where tgrelid = 'a'::regclass`)).toEqual([
      { tgname: 'bucardo_kick_x' },
    ]);
  });

  test('takes one table off and leaves the others; apply then starts it anew with a copy', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(
      `insert into a values (1); insert into b values (1); truncate a; delete from bucardo.copy`,
    );
    const relation = { schema: 'public', table: 'a' };
    const proof = await withSource(database.url, (source) => uninstall(source, { log, relation }));
    expect(proof).toEqual({ remaining: [], foreign: [] });
    expect(await db.rows(`select tgname from pg_trigger where tgrelid = 'a'::regclass`)).toEqual([]);
    expect(await db.rows(`select from bucardo.truncation`)).toHaveLength(0);
    await db.script(`insert into b values (2)`);
    expect(await deltasOf(db, 'delta_public_b')).toEqual(['1', '2']);
    await expect(
      withSource(database.url, (source) => uninstall(source, { log, relation })),
    ).rejects.toMatchObject({ code: 'BUC-TABLE-MISSING' });
    await applySource(database.url);
    expect(await db.rows(`select table_name from bucardo.copy`)).toEqual([{ table_name: 'a' }]);
  });

  test('takes off what was captured of a table that has been renamed or dropped since', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`alter table a rename to z; drop table b`);
    const plan = await applySource(database.url);
    expect(plan.steps.map(({ title }) => title)).toEqual([
      'Stop capturing public.a',
      'Stop capturing public.b',
      'Capture public.z',
    ]);
    expect((await planOf(database.url)).steps).toEqual([]);
    await db.run(`insert into z values (1)`);
    expect(await deltasOf(db, 'delta_public_z')).toEqual(['1']);
    expect(await db.rows(`select table_name from bucardo.copy where table_name = 'z'`)).toHaveLength(1);
  });
});

describe('purge', () => {
  const RETENTION = 3600;
  const run = (url: string, retentionSeconds = RETENTION) =>
    withSource(url, (db) => purge(db, { retentionSeconds, log }));
  const ripen = (db: Connection) =>
    db.run(`update bucardo.purge_mark set marked_at = marked_at - interval '2 hours'`);
  const catchUp = (db: Connection, destination: string) =>
    db.run(`update bucardo.progress set mark = txid_current_snapshot() where destination = $1`, [
      destination,
    ]);

  test('deletes what every lane has, but only after the retention', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ targets: ['reports', 'cache'] })]);
    const db = await database.app();
    await db.script(`insert into a values (1); insert into a values (2)`);
    await catchUp(db, 'reports');
    await run(database.url);
    await ripen(db);
    expect(await run(database.url)).toMatchObject({ deleted: 0 });
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1', '2']);

    await catchUp(db, 'cache');
    await db.script(`insert into a values (3)`);
    await ripen(db);
    await run(database.url);
    expect(await run(database.url)).toMatchObject({ deleted: 0 });
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1', '2', '3']);
    await ripen(db);
    expect(await run(database.url)).toMatchObject({ deleted: 2 });
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['3']);
  });

  test('keeps what was running when the lanes had their marks, and what commits late', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    const late = await database.app();
    await late.script(`begin; insert into a values (1)`);
    await db.run(`insert into a values (2)`);
    await catchUp(db, 'reports');
    await run(database.url);
    await late.script(`commit`);
    await ripen(db);
    expect(await run(database.url)).toMatchObject({ deleted: 1 });
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1']);
  });

  test('keeps everything for a lane whose mark is unknown, and what a held relation still needs', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`insert into bucardo.held_relation (sync, destination, schema_name, table_name, mark, error_code, error_detail, retry_at)
      select 'orders', 'reports', 'public', 'a', mark, 'BUC-ROW-REFUSED', '', now() from bucardo.progress`);
    await db.script(`insert into a values (1); insert into b values (1)`);
    await catchUp(db, 'reports');
    await run(database.url);
    await ripen(db);
    await run(database.url);
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1']);
    expect(await deltasOf(db, 'delta_public_b')).toEqual([]);

    await db.script(`delete from bucardo.held_relation; update bucardo.progress set mark = null`);
    for (let times = 0; times < 3; times += 1) {
      await ripen(db);
      await run(database.url);
    }
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1']);
  });

  test('empties a table that no lane has, many pages of it, under a transaction that keeps old rows alive', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    const old = await database.app();
    await old.script(`begin isolation level repeatable read; select count(*) from a`);
    await db.script(
      `delete from bucardo.progress; insert into a select generate_series(1, 60000); truncate b`,
    );
    await run(database.url);
    await db.run(`insert into a values (0)`);
    await ripen(db);
    expect(await run(database.url)).toMatchObject({ deleted: 60_001 });
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['0']);
    expect(await db.rows(`select from bucardo.truncation`)).toHaveLength(0);
  });

  test('refuses a source that is not prepared or came from another cluster', async () => {
    const database = await createDatabase(TABLES);
    await expect(run(database.url)).rejects.toMatchObject({ code: 'BUC-NOT-APPLIED' });
    await applySource(database.url);
    const db = await database.app();
    await db.run(`update bucardo.origin set system_identifier = system_identifier + 1`);
    await expect(run(database.url)).rejects.toMatchObject({ code: 'BUC-NOT-APPLIED' });
  });
});

describe('a source that was restored from a dump', () => {
  /** As a dump of another, older cluster would have it: ids far ahead of this one's. */
  const pretendRestored = async (db: Connection) => {
    await db.script(`insert into a values (1); insert into a values (2); truncate b; truncate b;
      update bucardo.delta_public_a set txid = txid + 1000000000000;
      update bucardo.truncation set txid = txid + 1000000000000;
      update bucardo.progress set mark = '900000000000:1000000000000:', system_identifier = 1;
      insert into bucardo.purge_mark (schema_name, table_name, covered) values ('public', 'a', '1:900000000000:');
      insert into bucardo.held_relation (sync, destination, schema_name, table_name, mark, error_code, error_detail, retry_at)
        values ('orders', 'reports', 'public', 'a', '1:900000000000:', 'BUC-ROW-REFUSED', '', now());
      update bucardo.origin set system_identifier = 1`);
  };
  const expectAtHome = async (db: Connection) => {
    const { pending } = await db.row<{ pending: number }>(
      `select count(*)::int as pending from bucardo.delta_public_a
        where txid_visible_in_snapshot(txid, txid_current_snapshot())`,
    );
    expect(pending).toBe(2);
    const { truncations } = await db.row<{ truncations: number }>(
      `select count(*)::int as truncations from bucardo.truncation
        where txid_visible_in_snapshot(txid, txid_current_snapshot())`,
    );
    expect(truncations).toBe(1);
    expect(
      await db.rows(`select p.mark, h.mark as held, p.system_identifier = c.system_identifier and
        o.system_identifier = c.system_identifier as home
        from bucardo.progress p, bucardo.held_relation h, bucardo.origin o, pg_control_system() c`),
    ).toEqual([{ mark: null, held: null, home: true }]);
    expect(await db.rows(`select table_name, reason from bucardo.copy_needed order by 1`)).toEqual([
      { table_name: 'a', reason: 'restored' },
      { table_name: 'b', reason: 'restored' },
    ]);
    expect(await db.rows(`select from bucardo.purge_mark`)).toHaveLength(0);
  };

  test('has everything pending after it was adopted, once', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await withSource(database.url, async (source) => {
      expect(await adoptSource(source)).toBe(false);
      await pretendRestored(db);
      const other = withSource(database.url, (second) => adoptSource(second));
      const done = [await adoptSource(source), await other];
      expect(done.filter(Boolean)).toHaveLength(1);
    });
    await expectAtHome(db);
  });

  test('is adopted by apply too', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    await pretendRestored(db);
    expect((await applySource(database.url)).steps).toHaveLength(1);
    await expectAtHome(db);
    expect((await planOf(database.url)).steps).toEqual([]);
  });

  test('that was never prepared has nothing to adopt', async () => {
    const database = await createDatabase(TABLES);
    await expect(withSource(database.url, adoptSource)).rejects.toMatchObject({ code: 'BUC-NOT-APPLIED' });
  });
});
