/** `apply`: what it installs, what it leaves alone, what it does when it is disturbed. */
import { describe, expect, test } from 'vitest';
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource } from '../../shared/capture/plan-source.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { createDatabase } from '../support/database.ts';
import {
  applySource,
  deltasOf,
  planOf,
  sourceDatabase,
  sourceSync,
  withSource,
} from '../support/captured-source.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLES = `create table a (id int primary key); create table b (id int primary key, n int)`;
const titles = ({ steps }: { readonly steps: readonly { readonly title: string }[] }) =>
  steps.map(({ title }) => title);

describe('apply', () => {
  test('prepares a source, and has nothing to do the second time', async () => {
    const database = await createDatabase(TABLES);
    const done = await applySource(database.url, [sourceSync({ targets: ['reports', 'cache'] })]);
    expect(titles(done)).toEqual([
      'Create schema bucardo and its control tables',
      'Capture public.a',
      'Capture public.b',
      'Register lane orders/reports',
      'Register lane orders/cache',
    ]);
    const again = await planOf(database.url, [sourceSync({ targets: ['reports', 'cache'] })]);
    expect(again.steps).toEqual([]);
    expect(again.problems).toEqual([]);
    const db = await database.app();
    expect(
      await db.rows(`select sync, destination, policy, state from bucardo.copy where table_name = 'a'`),
    ).toEqual([
      { sync: 'orders', destination: 'reports', policy: 'if-empty', state: 'wanted' },
      { sync: 'orders', destination: 'cache', policy: 'if-empty', state: 'wanted' },
    ]);
    expect(await db.rows(`select destination from bucardo.lane_status`)).toHaveLength(2);
  });

  test('a lane’s mark covers what was there before, and not a change that was captured since', async () => {
    const database = await createDatabase(`${TABLES}; insert into a values (1)`);
    await applySource(database.url);
    const db = await database.app();
    await db.run(`insert into a values (2)`);
    const { covered } = await db.row<{ covered: boolean }>(
      `select txid_visible_in_snapshot(txid, mark) as covered from bucardo.delta_public_a, bucardo.progress`,
    );
    expect(covered).toBe(false);
    await applySource(database.url, [sourceSync({ targets: ['reports', 'late'] })]);
    const marks = await db.rows(
      `select destination, txid_visible_in_snapshot(txid, mark) as covered from bucardo.delta_public_a, bucardo.progress
        order by destination`,
    );
    expect(marks).toEqual([
      { destination: 'late', covered: true },
      { destination: 'reports', covered: false },
    ]);
  });

  test('a table that is added later gets its copy in every lane of its sync, and no lane loses its place', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ tables: ['public.a'] })]);
    const db = await database.app();
    await db.run(`delete from bucardo.copy`);
    const before = await db.rows(`select sync, destination, mark::text from bucardo.progress`);
    const done = await applySource(database.url, [sourceSync({ tables: ['public.a', 'public.b'] })]);
    expect(titles(done)).toEqual(['Capture public.b']);
    expect(await db.rows(`select table_name from bucardo.copy`)).toEqual([{ table_name: 'b' }]);
    expect(await db.rows(`select sync, destination, mark::text from bucardo.progress`)).toEqual(before);
  });

  test('a sync that says never gets no copies', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ copy: 'never' })]);
    const db = await database.app();
    expect(await db.rows(`select from bucardo.copy`)).toHaveLength(0);
  });

  test('what left the configuration is removed, what other syncs still have stays', async () => {
    const database = await createDatabase(TABLES);
    const other = sourceSync({ sync: 'other', tables: ['public.b'], targets: ['cache'] });
    await applySource(database.url, [sourceSync({ targets: ['reports', 'old'] }), other]);
    const db = await database.app();
    await db.run(`insert into b values (1)`);
    const done = await applySource(database.url, [sourceSync({ tables: ['public.a'] }), other]);
    expect(titles(done).toSorted()).toEqual(['Forget lane orders/old', 'Take public.b out of sync orders']);
    expect(await db.rows(`select sync, table_name from bucardo.sync_relation order by 1`)).toEqual([
      { sync: 'orders', table_name: 'a' },
      { sync: 'other', table_name: 'b' },
    ]);
    expect(await db.rows(`select sync from bucardo.copy where table_name = 'b'`)).toEqual([
      { sync: 'other' },
    ]);
    expect(await deltasOf(db, 'delta_public_b')).toEqual(['1']);

    await applySource(database.url, [sourceSync({ tables: ['public.a'] })]);
    expect(await db.rows(`select from pg_trigger where tgrelid = 'b'::regclass`)).toHaveLength(0);
    expect(await db.rows(`select from pg_class where relname = 'delta_public_b'`)).toHaveLength(0);
    expect(await db.rows(`select sync, destination from bucardo.progress`)).toEqual([
      { sync: 'orders', destination: 'reports' },
    ]);
    await db.run(`insert into b values (2)`);
  });

  test('what somebody dropped, disabled, renamed or changed is put right', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const db = await database.app();
    const damages = [
      `drop trigger bucardo_capture_delete on b`,
      `alter table b disable trigger bucardo_capture_update`,
      `alter table b enable always trigger bucardo_capture_insert`,
      `alter trigger bucardo_capture_update on b rename to mine`,
      `create or replace function bucardo.capture_public_b() returns trigger language plpgsql as 'begin return null; end'`,
      `drop function bucardo.capture_public_b() cascade`,
      `drop table bucardo.delta_public_b`,
    ];
    for (const damage of damages) {
      await db.script(damage);
      const { steps } = await applySource(database.url);
      expect(steps, damage).toMatchObject([{ relation: 'public.b', missed: expect.any(Array) }]);
      expect(titles(await planOf(database.url)), damage).toEqual([]);
      await db.script(
        `delete from bucardo.delta_public_b; insert into b values (1); update b set id = 2; delete from b`,
      );
      expect((await deltasOf(db, 'delta_public_b')).toSorted(), damage).toEqual(['1', '1', '2', '2']);
    }
    expect(await db.rows(`select reason from bucardo.copy_needed where table_name = 'b'`)).toHaveLength(1);
  });

  test('capture follows a change of its mode', async () => {
    const database = await createDatabase(TABLES);
    const row = sourceSync({ capture: 'row' });
    await applySource(database.url);
    await applySource(database.url, [row]);
    expect((await planOf(database.url, [row])).steps).toEqual([]);
    const db = await database.app();
    const levels = await db.rows(
      `select distinct tgtype & 1 as row from pg_trigger where tgrelid = 'a'::regclass and tgtype & 32 = 0`,
    );
    expect(levels).toEqual([{ row: 1 }]);
    await db.run(`insert into a values (1)`);
    await applySource(database.url);
    await db.run(`insert into a values (2)`);
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1', '2']);
  });

  test('a trigger that was made again by hand without its argument is put right by apply', async () => {
    const database = await createDatabase(`create table t (id int primary key)`);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`drop trigger bucardo_capture_update on t;
      create trigger bucardo_capture_update after update on t
        referencing old table as changed_rows for each statement execute function bucardo.capture_public_t()`);
    expect((await planOf(database.url)).steps).toHaveLength(1);
    await applySource(database.url);
    expect((await planOf(database.url)).steps).toEqual([]);
    await db.script(`insert into t values (1); update t set id = 2`);
    expect((await deltasOf(db, 'delta_public_t')).toSorted()).toEqual(['1', '1', '2']);
  });

  test('the queue of another Bucardo in the same schema is left alone', async () => {
    const database =
      await createDatabase(`${TABLES}; create schema bucardo; create table bucardo.bucardo_delta_names (sync text);
      create table bucardo.delta_public_a (id int, txntime timestamptz not null default now());
      create function bucardo.delta_public_a() returns trigger language plpgsql as
        'begin insert into bucardo.delta_public_a values (new.id); return null; end';
      create trigger bucardo_delta after insert on a for each row execute function bucardo.delta_public_a()`);
    await applySource(database.url);
    const db = await database.app();
    await db.run(`insert into a values (1)`);
    expect(await db.rows(`select id from bucardo.delta_public_a`)).toEqual([{ id: 1 }]);
    const { name } = await db.row<{ name: string }>(
      `select delta_name as name from bucardo.relation where table_name = 'a'`,
    );
    expect(name).toMatch(/^delta_public_a!/);
    expect(await deltasOf(db, name)).toEqual(['1']);
  });

  test('a publication for all tables keeps working on the queue', async () => {
    const database = await createDatabase(`${TABLES}; create publication everything for all tables`);
    await applySource(database.url);
    const db = await database.app();
    await db.script(
      `insert into a values (1); truncate a; update bucardo.progress set updated_at = now(); delete from bucardo.progress`,
    );
    expect(await deltasOf(db, 'delta_public_a')).toEqual(['1']);
  });
});

describe('what cannot be captured is a problem, and then nothing is changed', () => {
  const problemsOf = async (sql: string, tables: readonly string[]) => {
    const database = await createDatabase(sql);
    const syncs = [sourceSync({ tables })];
    const plan = await planOf(database.url, syncs);
    await expect(applySource(database.url, syncs)).rejects.toMatchObject({ code: plan.problems[0]?.code });
    const db = await database.app();
    expect(await db.rows(`select from pg_namespace where nspname = 'bucardo'`)).toHaveLength(0);
    return plan.problems.map(({ code, concern: { relation, column } }) => [code, relation, column]);
  };

  test('all problems of a source come at once', async () => {
    expect(
      await problemsOf(
        `create table heap (n int); create table partial (n int); create unique index on partial (n) where n > 0;
         create table expression (n int); create unique index on expression (abs(n));
         create table deferred (n int not null unique deferrable);
         create table other (n int); create unique index on other using btree (n) where n < 0`,
        ['public.*', 'public.nowhere'],
      ),
    ).toEqual([
      ['BUC-TABLE-NO-KEY', 'public.deferred', undefined],
      ['BUC-TABLE-NO-KEY', 'public.expression', undefined],
      ['BUC-TABLE-NO-KEY', 'public.heap', undefined],
      ['BUC-TABLE-MISSING', 'public.nowhere', undefined],
      ['BUC-TABLE-NO-KEY', 'public.other', undefined],
      ['BUC-TABLE-NO-KEY', 'public.partial', undefined],
    ]);
  });

  test('a key that has become another one is refused, but a better key beside the captured one is not', async () => {
    const database = await createDatabase(`create table t (a int not null unique, b int)`);
    await applySource(database.url);
    const db = await database.app();
    await db.script(`alter table t add primary key (b)`);
    expect(await planOf(database.url)).toMatchObject({ steps: [], problems: [] });
    await db.script(`alter table t drop constraint t_a_key`);
    const [problem] = (await planOf(database.url)).problems;
    expect(problem?.code).toBe('BUC-KEY-CHANGED');
    await expect(applySource(database.url)).rejects.toMatchObject({ code: 'BUC-KEY-CHANGED' });
    expect(await db.rows(`select from pg_class where relname = 'delta_public_t'`)).toHaveLength(1);
  });

  test('a source keeps the name by which it was prepared', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url);
    const renamed = { ...sourceSync(), source: 'orient' };
    await expect(
      applySource(database.url, [renamed], sourceDatabase('notify', 'orient')),
    ).rejects.toMatchObject({ code: 'BUC-NAME-TAKEN' });
  });

  test('each missing right is named, and with all of them no superuser is needed', async () => {
    const database = await createDatabase(`${TABLES}; insert into a values (1)`);
    const admin = await database.app();
    const role = `installer_${database.name}`;
    await admin.script(
      `create role ${role} login; revoke all on schema public from public; grant usage on schema public to public`,
    );
    const problems = async () =>
      (await planOf(database.urlAs(role))).problems.map(({ code, detail }) => `${code} ${detail}`);
    expect(await problems()).toEqual([
      'BUC-DB-RIGHTS CREATE on the database, or on schema bucardo if it exists',
      'BUC-DB-RIGHTS SELECT and TRIGGER',
      'BUC-DB-RIGHTS SELECT and TRIGGER',
    ]);
    await admin.script(
      `grant create on database "${database.name}" to ${role}; grant select, trigger on a, b to ${role}`,
    );
    expect(await problems()).toEqual([]);
    await applySource(database.urlAs(role));
    expect((await planOf(database.urlAs(role))).steps).toEqual([]);
    await admin.run(`insert into a values (2)`);
    expect(await deltasOf(admin, 'delta_public_a')).toEqual(['2']);
    const rest = await applySource(database.urlAs(role), [sourceSync({ tables: ['public.b'] })]);
    expect(titles(rest)).toEqual(['Stop capturing public.a']);
    await admin.script(`drop schema bucardo cascade; drop owned by ${role}; drop role ${role}`);
  });
});

describe('apply under load', () => {
  test('writers wait for a moment only while a long transaction keeps apply from its table', async () => {
    const database = await createDatabase(TABLES);
    const holder = await database.app();
    const writer = await database.app();
    await holder.script(`begin; insert into a values (-1)`);
    const waits: string[] = [];
    let applied = false;
    const applying = withSource(database.url, async (db) =>
      applyPlan(db, await planSource(db, { database: sourceDatabase(), syncs: [sourceSync()] }), {
        log: (_level, event) => waits.push(event),
      }),
    ).finally(() => (applied = true));
    const heldSinceMs = performance.now();
    const latencies: number[] = [];
    let id = 0;
    const write = async () => {
      const startedAtMs = performance.now();
      await writer.run(`insert into a values ($1)`, [(id += 1)]);
      latencies.push(performance.now() - startedAtMs);
    };
    await waitFor(async () => {
      await write();
      return waits.filter((event) => event === 'capture.step.waiting').length >= 4;
    });
    expect(applied).toBe(false);
    const heldMs = performance.now() - heldSinceMs;
    await holder.script(`commit`);
    await waitFor(async () => {
      await write();
      return applied;
    });
    await applying;
    // A writer that waits for a lock that waits for the holder waits as long as the holder.
    expect(Math.max(...latencies)).toBeLessThan(heldMs / 2);
    await write();
    const keys = (await deltasOf(writer, 'delta_public_a')).map(Number);
    const captured = keys[0] ?? Infinity;
    expect(keys).toEqual(Array.from({ length: id - captured + 1 }, (_, i) => captured + i));
    const { consistent } = await writer.row<{ consistent: boolean }>(
      `select bool_and(txid_visible_in_snapshot(d.txid, mark) or d.id::int >= ${captured}) as consistent
        from bucardo.delta_public_a d, bucardo.progress`,
    );
    expect(consistent).toBe(true);
  });

  test('a table whose lock is not to be had is given up; the others are done, and the lane waits for it', async () => {
    const database = await createDatabase(TABLES);
    const holder = await database.app();
    await holder.script(`begin; lock table a in row exclusive mode`);
    await expect(
      withSource(database.url, async (db) =>
        applyPlan(db, await planSource(db, { database: sourceDatabase(), syncs: [sourceSync()] }), {
          log: silentLog,
          giveUpAfterMs: 0,
        }),
      ),
    ).rejects.toMatchObject({ code: 'BUC-DB-LOCKED', concern: { relation: 'public.a' } });
    await holder.script(`commit`);
    expect(await holder.rows(`select table_name from bucardo.relation`)).toEqual([{ table_name: 'b' }]);
    expect(await holder.rows(`select from bucardo.progress`)).toHaveLength(0);
    expect(titles(await applySource(database.url))).toEqual([
      'Capture public.a',
      'Register lane orders/reports',
    ]);
  });

  test('several at once do everything once', async () => {
    const database = await createDatabase(TABLES);
    const plans = await Promise.all(Array.from({ length: 4 }, () => applySource(database.url)));
    expect(plans.map(({ steps }) => steps.length).toSorted((a, b) => a - b)).toEqual([0, 0, 0, 4]);
  });

  test('killed between any two steps, the next one does the rest and no change is lost', async () => {
    const whole = await createDatabase(TABLES);
    const { steps } = await planOf(whole.url);
    expect(steps).toHaveLength(4);
    for (let done = 0; done < steps.length; done += 1) {
      const database = await createDatabase(TABLES);
      const app = await database.app();
      await withSource(database.url, async (db) => {
        for (const { sql } of steps.slice(0, done))
          await db.transaction('read committed', () => db.script(sql.join(';')));
        // The next step begins and never commits.
        await db.script(`begin; ${steps[done]?.sql.join(';')}`);
      });
      await app.run(`insert into a values (1)`);
      await applySource(database.url);
      expect((await planOf(database.url)).steps).toEqual([]);
      await app.run(`insert into a values (2)`);
      const copies = await app.rows(`select table_name from bucardo.copy order by 1`);
      expect(copies).toEqual([{ table_name: 'a' }, { table_name: 'b' }]);
      expect(await deltasOf(app, 'delta_public_a')).toContain('2');
    }
  });
});
