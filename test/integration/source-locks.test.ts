/** Locks of ours on an application's tables at the source: which, in which order, and that docs/limits.md names them all. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readInstalled } from '../../shared/capture/installed.ts';
import type { PlanStep } from '../../shared/capture/plan-capture.ts';
import { planUninstall } from '../../shared/capture/uninstall.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { applySource, planOf, sourceSync, withSource } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';

const LIMITS = readFileSync(join(import.meta.dirname, '../../docs/limits.md'), 'utf8').replaceAll(/ +/g, ' ');
const TABLES = `
  create table t (id int primary key);
  create table p (id int, part int, primary key (id, part)) partition by list (part);
  create table p1 partition of p for values in (1);
  create table p2 partition of p for values in (2)`;

/** Runs the steps, and gives the locks that each held at its end on tables outside of schema bucardo, if stronger than those of writers. */
async function locksOf(url: string, steps: readonly PlanStep[]): Promise<readonly string[]> {
  return await withSource(url, async (db) => {
    const found = new Set<string>();
    for (const { sql } of steps) {
      await db.transaction('read committed', async () => {
        await db.script(sql.join(';\n'));
        const rows = await db.rows<{ lock: string }>(
          `select format('%s %s', c.relname, l.mode) as lock
           from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
           where l.pid = pg_backend_pid() and c.relkind in ('r', 'p') and n.nspname not in ('bucardo', 'pg_catalog')
             and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`,
        );
        for (const { lock } of rows) found.add(lock);
      });
    }
    return [...found].toSorted();
  });
}

const ALL = ['p', 'p1', 'p2', 't'];

test('apply locks tables against writers, taking capture off against everybody, and the page of limits says so', async () => {
  const database = await createDatabase(TABLES);
  const share = ALL.map((name) => `${name} ShareRowExclusiveLock`);
  expect(await locksOf(database.url, (await planOf(database.url)).steps)).toEqual(share);
  const db = await database.app();

  await db.script(
    `alter table t disable trigger bucardo_capture_insert; alter table p1 disable trigger user`,
  );
  expect(await locksOf(database.url, (await planOf(database.url)).steps)).toEqual([
    'p1 ShareRowExclusiveLock',
    't ShareRowExclusiveLock',
  ]);

  const rows = [sourceSync({ capture: 'row' })];
  expect(await locksOf(database.url, (await planOf(database.url, rows)).steps)).toEqual([
    't AccessExclusiveLock',
    't ShareRowExclusiveLock',
  ]);

  const steps = await withSource(database.url, async (source) => planUninstall(await readInstalled(source)));
  expect(await locksOf(database.url, steps)).toEqual(ALL.map((name) => `${name} AccessExclusiveLock`));
  for (const line of [
    '| `create trigger` of `apply` | source | SHARE ROW EXCLUSIVE on the table',
    '| `alter table … enable trigger` of `apply` | source | SHARE ROW EXCLUSIVE on the table',
    '| `drop function … cascade` of `apply` and `uninstall` | source | ACCESS EXCLUSIVE on the table',
  ]) {
    expect(LIMITS).toContain(line);
  }
});

test('whoever writes through a partitioned table gets on while apply cannot have one of its partitions', async () => {
  const database = await createDatabase(TABLES);
  const holder = await database.app();
  const writer = await database.app();
  await holder.script(`begin; insert into p2 values (1, 2)`);
  const applied = applySource(database.url);
  try {
    await triedTwice(writer);
    await writer.script(`set lock_timeout = '10s'`);
    for (let id = 10; id < 20; id += 1) await writer.run(`insert into p values (${id}, 1)`);
    // Nothing is left of the attempts.
    expect(await writer.rows(`select from pg_trigger where tgrelid = 'p1'::regclass`)).toEqual([]);
  } finally {
    await holder.script('commit');
  }
  await applied;
  await writer.run(`insert into p values (30, 2)`);
  expect(await writer.rows(`select id from bucardo.delta_public_p`)).toEqual([{ id: '30' }]);
});

/** Waits until apply has asked for the partition's lock at two different moments. */
async function triedTwice(db: Connection): Promise<void> {
  const seen = new Set<string>();
  for (let look = 0; look < 100_000 && seen.size < 2; look += 1) {
    const rows = await db.rows<{ at: string }>(
      `select a.xact_start::text as at from pg_locks l join pg_stat_activity a using (pid)
       where l.relation = 'p2'::regclass and not l.granted`,
    );
    for (const { at } of rows) seen.add(at);
  }
  expect(seen.size).toBe(2);
}

test('a step that locks several tables waits for the first of them only', async () => {
  const database = await createDatabase(TABLES);
  const step = (await planOf(database.url)).steps.find(({ relation }) => relation === 'public.p')!;
  const locking = step.sql.filter(
    (sql) => /^(create trigger \S+ (after \w+|.*)|set local)/.test(sql) && !sql.includes(' on bucardo.'),
  );
  expect(
    locking.map((sql) =>
      sql
        .replaceAll(/\s+/g, ' ')
        .replaceAll(/_[0-9a-f]{10}\b/g, '_HASH')
        .slice(0, 75),
    ),
  ).toEqual([
    'create trigger bucardo_capture_truncate after truncate on "public"."p" for ',
    'set local lock_timeout = 50',
    'create trigger bucardo_capture_row_HASH after insert or update or delete on',
    'create trigger bucardo_capture_truncate_HASH after truncate on "public"."p1',
    'create trigger bucardo_capture_truncate_HASH after truncate on "public"."p2',
  ]);
});
