/** What a trigger needs of the application's session: nothing that a write without it would not be given as well. */
import { describe, expect, test } from 'vitest';
import { quoteIdentifier, quoteLiteral } from '../../shared/postgres/identifiers.ts';
import { applySource, deltasOf, sourceSync, withSource } from '../support/captured-source.ts';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { createDatabase } from '../support/database.ts';

const TABLES = ['t', 'bare']
  .map(
    (name) =>
      `create table ${name} (id int, code text, at timestamptz default '2020-01-31', note text, primary key (id, code));`,
  )
  .join('');

const writes = (
  table: string,
) => `insert into public.${table} (id, code) select i, 'k' from generate_series(1, 50) i;
  update public.${table} set note = 'x' where id < 10; update public.${table} set id = id + 100 where id < 5;
  delete from public.${table} where id > 7; insert into public.${table} (id, code) values (9999, 'é\\x'); truncate public.${table};`;

interface Setting {
  readonly name: string;
  readonly type: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly values: readonly string[] | null;
}

function worst({ type, min, max, values }: Setting): readonly string[] {
  if (type === 'bool') return ['on', 'off'];
  if (type === 'enum') return values ?? [];
  if (type === 'string') return [];
  return [min, max].filter((value) => value !== null);
}

/** Settings that are strings, which the catalog gives no bounds for. */
const STRINGS: readonly (readonly [string, string])[] = [
  ['datestyle', 'SQL, DMY'],
  ['timezone', 'Asia/Kolkata'],
  ['search_path', ''],
  ['default_tablespace', 'pg_default'],
  ['role', 'none'],
  ['lc_messages', 'C'],
  ['lc_monetary', 'C'],
  ['plpgsql.extra_errors', 'all'],
  ['plpgsql.extra_warnings', 'all'],
];

/** These end the session or the statement whatever it does. */
const DEADLY = new Set([
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
  'post_auth_delay',
]);

describe.each(['auto', 'row'] as const)('capture %s', (capture) => {
  test('no setting that a session may have makes a captured write fail', { timeout: 300_000 }, async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ tables: ['public.t'], capture })]);
    const admin = await database.app();
    // Settings of loaded modules are in the list once the module is there.
    await admin.script(`do $$ begin end $$`);
    const settings = await admin.rows<Setting>(
      `select name, vartype as type, min_val as min, max_val as max, enumvals as values from pg_settings
       where context in ('user', 'superuser') order by name`,
    );
    const cases = [
      ...settings.flatMap((setting) => worst(setting).map((value) => [setting.name, value] as const)),
      ...STRINGS,
    ].filter(([name]) => !DEADLY.has(name));
    expect(cases.length).toBeGreaterThan(200);
    const failures: string[] = [];
    let tried = 0;
    for (const [name, value] of cases) {
      // What a captured write is to be compared with.
      const attempt = async (table: string) =>
        await withSource(database.url, async (db) => {
          await db.script(`set search_path = public`);
          await db.script(`select set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`);
          await db.script(writes(table));
        }).then(
          () => true,
          () => false,
        );
      if (!(await attempt('bare'))) continue;
      tried += 1;
      if (!(await attempt('t'))) failures.push(`${name} = ${value}`);
    }
    expect(failures).toEqual([]);
    expect(tried).toBeGreaterThan(200);
    // All of them have captured the same.
    const { different } = await admin.row<{ different: string[] }>(
      `select array(select id || ' ' || code from bucardo.delta_public_t group by id, code
         having count(*) not in (select count(*) from bucardo.delta_public_t where id = '30' and code = 'k' group by id)
           and id not in ('9999') and id::int > 9 and id::int < 51) as different`,
    );
    expect(different).toEqual([]);
    await withSource(database.url, (db) => db.script('select 1'));
  });

  test('serializable writers who would not meet do not meet in the queue', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ tables: ['public.t'], capture })]);
    const [one, two] = [await database.app(), await database.app()];
    for (let round = 0; round < 5; round += 1) {
      for (const app of [one, two]) await app.script('begin isolation level serializable');
      await one.script(
        `insert into t values (${round}, 'one'); update t set note = 'x' where (id, code) = (${round}, 'one')`,
      );
      await two.script(
        `insert into t values (${round}, 'two'); update t set note = 'x' where (id, code) = (${round}, 'two')`,
      );
      for (const app of [one, two]) await app.script('commit');
    }
    expect(await deltasOf(one, 'delta_public_t')).toHaveLength(20);
  });

  test('a read-only transaction writes its temporary tables, and a write that is refused is so by its own reason', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ tables: ['public.t'], capture })]);
    const app = await database.app();
    await app.script(
      `create temporary table own (id int); begin read only; insert into own values (1); commit`,
    );
    await expect(app.script(`begin read only; insert into t values (1, 'a')`)).rejects.toMatchObject({
      sqlstate: '25006',
    });
    await app.script('rollback');
  });

  test('row security of a table, and of the writer, is none of the queue’s', async () => {
    const database = await createDatabase(`${TABLES} alter table t enable row level security;
      create policy own on t using (code = current_user) with check (true);`);
    await applySource(database.url, [sourceSync({ tables: ['public.t'], capture })]);
    const app = await database.app();
    const role = quoteIdentifier(`r_${database.name}`);
    await app.script(`create role ${role} login; grant select, insert, update, delete on t to ${role}`);
    await withSource(database.urlAs(`r_${database.name}`), (db) =>
      db.script(`set row_security = on; insert into public.t values (1, 'hidden'), (2, current_user);
        update public.t set note = 'x'; delete from public.t`),
    );
    expect((await deltasOf(app, 'delta_public_t')).filter((key) => key.startsWith('2|'))).toHaveLength(3);
    await app.script(`drop owned by ${role}; drop role ${role}`);
  });
});

/** More than work_mem holds, so that a statement's changed rows go to a file. */
const BULK = (table: string) =>
  `insert into public.${table} select generate_series(1, 200000), repeat('x', 40)`;

test('a bulk insert needs temporary files where it is captured by statement, and none where by row; the check says so', async () => {
  const database = await createDatabase(
    `create table t (id int primary key, note text); create table r (like t including all)`,
  );
  const syncs = [
    sourceSync({ tables: ['public.t'] }),
    sourceSync({ sync: 'rows', tables: ['public.r'], capture: 'row' }),
  ];
  await applySource(database.url, syncs);
  const app = await database.app();
  const role = `limited_${database.name}`;
  await app.script(`create role ${role} login; grant insert on t, r to ${role};
    alter role ${role} in database ${database.name} set temp_file_limit = '256kB'`);
  await withSource(database.urlAs(role), async (db) => {
    await expect(db.script(BULK('t'))).rejects.toMatchObject({ sqlstate: '53400' });
    await db.script(BULK('r'));
  });

  // The check tells so, and no more once the table is captured by row.
  const found = async (capture: 'auto' | 'row') => {
    const config = {
      databases: {
        east: { engine: 'postgres', url: database.url },
        reports: { engine: 'postgres', url: (await createDatabase()).url },
      },
      syncs: {
        orders: {
          sources: ['east'],
          targets: ['reports'],
          tables: capture === 'row' ? [{ table: 'public.t', capture }] : ['public.t'],
        },
      },
    };
    const findings = await checkFleet({
      fleet: validateConfig(config, 'test'),
      resolveUrl: async ({ name }) =>
        name === 'east' ? config.databases.east.url : config.databases.reports.url,
    });
    return findings.filter(({ code }) => code === 'temp-file-limit');
  };
  expect(await found('auto')).toMatchObject([
    {
      severity: 'warning',
      database: 'east',
      text: expect.stringContaining(`256kB for role ${role} in database`),
    },
  ]);
  expect(await found('row')).toEqual([]);
  await app.script(`drop owned by ${role}; drop role ${role}`);
});
