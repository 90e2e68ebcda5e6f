/** `bucardo check` against real servers: what it finds, and that it changes nothing. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import type { Finding } from '../../shared/check/finding.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { freePort } from '../../shared/local/postgres-server.ts';
import { connect } from '../../shared/postgres/connection.ts';
import { applySource, sourceDatabase, sourceSync, withSource } from '../support/captured-source.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const ROLE = 'check_limited';

beforeAll(() =>
  withSource(inject('serverUrl'), (db) =>
    db.script(`drop role if exists ${ROLE}; create role ${ROLE} login`),
  ),
);
afterAll(() => withSource(inject('serverUrl'), (db) => db.script(`drop role if exists ${ROLE}`)));

interface Options {
  readonly tables?: readonly string[];
  readonly exclude?: readonly string[];
  readonly patienceMs?: number;
  /** More databases and their URLs, all targets of the sync. */
  readonly more?: Readonly<Record<string, string>>;
}

async function check(
  sourceUrl: string,
  targetUrl: string,
  { tables = ['public.*'], exclude = [], patienceMs, more = {} }: Options = {},
): Promise<readonly Finding[]> {
  const urls: Readonly<Record<string, string>> = { east: sourceUrl, reports: targetUrl, ...more };
  const names = Object.keys(urls);
  const fleet = validateConfig(
    {
      databases: Object.fromEntries(names.map((name) => [name, { engine: 'postgres', url: urls[name] }])),
      syncs: { orders: { sources: ['east'], targets: names.slice(1), tables, exclude } },
    },
    'bucardo.config.ts',
  );
  return await checkFleet({
    fleet,
    resolveUrl: ({ name }) => Promise.resolve(urls[name] ?? ''),
    ...(patienceMs === undefined ? {} : { patienceMs }),
  });
}

/** `error BUC-TABLE-MISSING reports public.orders`, without notes about the servers. */
function shortly(findings: readonly Finding[], least: 'warning' | 'info' = 'warning'): readonly string[] {
  return findings
    .filter(({ severity, sync }) => severity !== 'info' || (least === 'info' && sync !== undefined))
    .map(({ severity, code, database, relation, column }) =>
      [severity, code, database, relation, column].filter((part) => part !== undefined).join(' '),
    )
    .sort();
}

async function pair(source: string, target: string = source): Promise<[TestDatabase, TestDatabase]> {
  return [await createDatabase(source), await createDatabase(target)];
}

/** Everything that a check might have changed. */
async function fingerprint({ url }: TestDatabase): Promise<unknown> {
  return await withSource(url, (db) =>
    db.rows(`
      select 'relation' as kind, c.oid::text, c.relname::text as name, c.relacl::text as acl
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_'
      union all select 'trigger', oid::text, tgname::text, tgenabled::text from pg_trigger
      union all select 'function', oid::text, proname::text, prosrc from pg_proc where oid > 16384
      union all select 'schema', oid::text, nspname::text, nspacl::text from pg_namespace
      order by 1, 2`),
  );
}

test('a fleet that fits has no errors and no warnings, before apply and after, and is left as it was', async () => {
  const [source, target] = await pair('create table orders (id int primary key, note text)');
  const before = [await fingerprint(source), await fingerprint(target)];
  const first = await check(source.url, target.url);
  expect(shortly(first)).toEqual([]);
  expect(first).toContainEqual(
    expect.objectContaining({ severity: 'info', code: 'BUC-NOT-APPLIED', database: 'east' }),
  );
  expect([await fingerprint(source), await fingerprint(target)]).toEqual(before);

  await applySource(source.url, [sourceSync()], sourceDatabase('auto'));
  const applied = await fingerprint(source);
  const second = await check(source.url, target.url);
  expect(shortly(second)).toEqual([]);
  expect(second.some(({ code }) => code === 'BUC-NOT-APPLIED')).toBe(false);
  expect(await fingerprint(source)).toEqual(applied);
});

test('every difference between the tables of source and target is named, all in one report', async () => {
  const [source, target] = await pair(
    `create table a (id bigint primary key, note varchar(20), at timestamptz, fits int, extra_1 int, extra_2 int);
     create table b (id int primary key, n int generated always as identity);
     create table c (id text primary key);
     create table gone (id int primary key)`,
    `create table a (id int, note varchar(10), at timestamp, fits bigint, need_1 int not null, need_2 int not null);
     create table b (id int primary key, n int generated always as (1 + 1) stored);
     create table c (id text collate "POSIX" primary key);
     create view gone as select 1 as id`,
  );
  const findings = await check(source.url, target.url);
  expect(shortly(findings, 'info')).toEqual([
    'error BUC-COLUMN-MISSING reports public.a extra_1',
    'error BUC-COLUMN-MISSING reports public.a extra_2',
    'error BUC-COLUMN-REQUIRED reports public.a need_1',
    'error BUC-COLUMN-REQUIRED reports public.a need_2',
    'error BUC-TABLE-MISSING reports public.gone',
    'error BUC-TARGET-NO-UNIQUE reports public.a',
    'info generated-at-target reports public.b n',
    'info key-collation reports public.c id',
    'warning BUC-COLUMN-TYPE reports public.a at',
    'warning BUC-COLUMN-TYPE reports public.a id',
    'warning BUC-COLUMN-TYPE reports public.a note',
  ]);
  const note = findings.find(({ column }) => column === 'note');
  expect(note?.text).toContain('character varying(10) here, character varying(20) at east');
  expect(findings.find(({ relation }) => relation === 'public.gone')?.text).toContain('view');
  for (const { severity, remedy } of findings) if (severity !== 'info') expect(remedy).toMatch(/\w+ .{10}/);
});

test('what cannot be captured is named with the reason: no key, no table, a view, nothing matched', async () => {
  const [source, target] = await pair(
    `create table nokey (a int); create view report as select 1 as a; create table ok (id int primary key);
     create unlogged table fast (id int primary key); create table maybe (a int unique);
     create table parts (id int primary key) partition by range (id);
     create schema x_y; create table x_y.z (id int primary key); create schema x; create table x.y_z (id int primary key)`,
  );
  const findings = await check(source.url, target.url, {
    tables: ['public.*', 'public.report', 'public.nothere', 'x*.*', 'zz.*'],
    exclude: ['public.typo'],
  });
  const atSource = findings.filter(({ database }) => database === 'east');
  expect(shortly(atSource, 'info')).toEqual([
    'error BUC-TABLE-MISSING east public.nothere',
    'error BUC-TABLE-MISSING east public.report',
    'error BUC-TABLE-NO-KEY east public.nokey',
    'info key-nullable east public.maybe',
    'info row-capture east public.parts',
    'warning nothing-matched east',
    'warning nothing-matched east',
    'warning unlogged east public.fast',
  ]);
  expect(atSource.find(({ relation }) => relation === 'public.report')?.text).toContain('view');
  expect(atSource.find(({ code }) => code === 'delta-name')?.text).toContain('x.y_z, x_y.z');
});

test('a limited role: each missing right is named with the statement that grants it, and granting them ends it', async () => {
  const [source, target] = await pair('create table orders (id int primary key, note text)');
  const checked = () => check(source.urlAs(ROLE), target.urlAs(ROLE));
  const granted = new Set<string>();
  for (let round = 0; round < 3; round += 1) {
    for (const { database, remedy, severity } of await checked()) {
      if (severity !== 'error' || remedy === undefined) continue;
      expect(remedy).toMatch(/^grant .* to "check_limited";$/);
      granted.add(`${database}: ${remedy}`);
      await withSource(database === 'east' ? source.url : target.url, (db) => db.script(remedy));
    }
  }
  expect([...granted].sort()).toEqual([
    `east: grant create on database "${source.name}" to "check_limited";`,
    'east: grant select, trigger on "public"."orders" to "check_limited";',
    'reports: grant select, insert, update, delete on "public"."orders" to "check_limited";',
  ]);
  expect(shortly(await checked())).toEqual(['warning lane-table reports']);
  await applySource(source.urlAs(ROLE), [sourceSync()], sourceDatabase('auto'));
  expect(shortly(await checked())).toEqual(['warning lane-table reports']);
});

test('rights of single columns are enough at a target where they cover what is written', async () => {
  const [source, target] = await pair(
    'create table orders (id int primary key, note text)',
    'create table orders (id int primary key, note text, local text)',
  );
  await withSource(target.url, (db) =>
    db.script(`grant select (id), insert (id, note), update (id) on public.orders to ${ROLE};
      grant delete on public.orders to ${ROLE}`),
  );
  const [finding, ...others] = (await check(source.url, target.urlAs(ROLE))).filter(
    ({ severity }) => severity === 'error',
  );
  expect(others).toEqual([]);
  expect(finding).toMatchObject({ code: 'BUC-DB-RIGHTS', relation: 'public.orders' });
  expect(finding?.remedy).toBe('grant update ("note") on "public"."orders" to "check_limited";');
});

test('without the replica role, triggers and acting foreign keys at the target are warned of', async () => {
  const [source, target] = await pair(
    'create table orders (id int primary key)',
    `create table orders (id int primary key);
     create function audit() returns trigger language plpgsql as 'begin return new; end';
     create trigger audit after insert on orders for each row execute function audit();
     create trigger off after insert on orders for each row execute function audit();
     alter table orders disable trigger off;
     create table lines (id int primary key, "order" int references orders on delete cascade);
     create table notes (id int primary key, "order" int references orders)`,
  );
  await withSource(target.url, (db) => db.script(`grant all on public.orders to ${ROLE}`));
  const limited = await check(source.url, target.urlAs(ROLE));
  expect(limited.some(({ code }) => code === 'no-replica-role')).toBe(true);
  expect(shortly(limited)).toEqual([
    'warning foreign-key-acts reports public.orders',
    'warning lane-table reports',
    'warning trigger-fires reports public.orders',
  ]);
  expect(limited.find(({ code }) => code === 'foreign-key-acts')?.text).toContain('public.lines');
  expect(shortly(await check(source.url, target.url))).toEqual([]);
});

test('row security that hides rows is an error at the source and at the target', async () => {
  const sql = `create table orders (id int primary key); alter table orders enable row level security;
    grant all on orders to ${ROLE}`;
  const [source, target] = await pair(sql);
  await withSource(source.url, (db) => db.script(`grant create on database "${source.name}" to ${ROLE}`));
  expect(shortly(await check(source.urlAs(ROLE), target.urlAs(ROLE)))).toEqual([
    'error BUC-DB-RIGHTS east public.orders',
    'error BUC-DB-RIGHTS reports public.orders',
    'warning lane-table reports',
  ]);
});

test('rights on the queue tables are part of the check: who did not install them needs them granted', async () => {
  const [source, target] = await pair(
    `create table orders (id int primary key); grant all on orders to ${ROLE}`,
  );
  await applySource(source.url, [sourceSync()], sourceDatabase('auto'));
  const noUsage = await check(source.urlAs(ROLE), target.url);
  expect(noUsage.find(({ severity }) => severity === 'error')?.text).toContain('USAGE on schema bucardo');
  await withSource(source.url, (db) =>
    db.script(`grant usage on schema bucardo to ${ROLE}; grant all on all tables in schema bucardo to ${ROLE};
      grant execute on function bucardo.tick() to ${ROLE}; revoke update on bucardo.progress from ${ROLE}`),
  );
  const errors = (await check(source.urlAs(ROLE), target.url)).filter(({ severity }) => severity === 'error');
  expect(errors).toHaveLength(1);
  expect(errors[0]?.text).toContain('UPDATE on table bucardo.progress');
  expect(errors[0]?.text).toContain('sequence bucardo.wake');
});

test('a key that changed since apply, and one that the application lost, are errors', async () => {
  const [source, target] = await pair('create table orders (id int primary key, other int not null unique)');
  await applySource(source.url, [sourceSync()], sourceDatabase('auto'));
  await withSource(source.url, (db) => db.script('alter table public.orders drop constraint orders_pkey'));
  expect(shortly(await check(source.url, target.url))).toContain('error BUC-KEY-CHANGED east public.orders');
});

test('what lanes report of themselves is in the check: failures, held relations, refused rows, copies', async () => {
  const [source, target] = await pair('create table orders (id int primary key)');
  await applySource(source.url, [sourceSync({ copy: 'never' })]);
  await withSource(source.url, (db) =>
    db.script(`
      update bucardo.lane_status set failures = 2, error_code = 'BUC-DB-FULL', error_detail = 'no room', error_at = now();
      insert into bucardo.held_relation (sync, destination, schema_name, table_name, error_code, error_detail, retry_at)
        values ('orders', 'reports', 'public', 'orders', 'BUC-COLUMN-MISSING', 'total', now());
      insert into bucardo.rejected_row (sync, destination, schema_name, table_name, key, key_hash, error_code, error_detail, txntime)
        values ('orders', 'reports', 'public', 'orders', '{secret}', '\\x00', 'BUC-ROW-REFUSED', 'x', now());
      insert into bucardo.copy_needed values ('orders', 'reports', 'public', 'orders', 'truncated')`),
  );
  const findings = await check(source.url, target.url);
  expect(shortly(findings)).toEqual([
    'warning BUC-COLUMN-MISSING reports public.orders',
    'warning BUC-COPY-NEEDED reports public.orders',
    'warning BUC-DB-FULL reports',
    'warning rows-rejected reports',
  ]);
  expect(JSON.stringify(findings)).not.toContain('secret');
});

test('a database that is read-only is an error', async () => {
  const [source, target] = await pair('create table orders (id int primary key)');
  await withSource(target.url, (db) =>
    db.script(`alter database "${target.name}" set default_transaction_read_only = on`),
  );
  expect(shortly(await check(source.url, target.url))).toEqual(['error BUC-DB-READ-ONLY reports']);
});

test('databases that do not answer hide nothing of what the others say', async () => {
  const [source, target] = await pair(
    'create table orders (id int primary key)',
    'create table orders (id int)',
  );
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    const findings = await check(source.url, target.url, {
      patienceMs: 1_000,
      more: {
        silent: `postgres://u@127.0.0.1:${port}/db`,
        closed: `postgres://u@127.0.0.1:${await freePort()}/db`,
      },
    });
    expect(shortly(findings)).toEqual([
      'error BUC-DB-UNREACHABLE closed',
      'error BUC-DB-UNREACHABLE silent',
      'error BUC-TARGET-NO-UNIQUE reports public.orders',
    ]);
    const text = (name: string) =>
      findings.find(({ database, severity }) => database === name && severity === 'error')?.text;
    expect(text('silent')).toContain('did not answer in time');
    expect(text('closed')).toContain('nothing listens');
  } finally {
    silent.close();
  }
});

test('a database that stops answering in the middle is given up after a while', async () => {
  const [source, target] = await pair('create table orders (id int primary key)');
  const blocker = await connect({ database: 'target', url: target.url, purpose: 'test blocker' });
  const watcher = await connect({ database: 'target', url: target.url, purpose: 'test watcher' });
  let stopped = 0;
  try {
    await blocker.script('begin; lock table public.orders in access exclusive mode');
    const checked = check(source.url, target.url, { patienceMs: 4_000 });
    // A server process that is stopped while it waits for the lock: not even its own time limits end that.
    await waitFor(async () => {
      // Not the blocker: within a transaction the view stays as it was.
      const [waiting] = await watcher.rows<{ pid: number }>(
        `select pid from pg_stat_activity where datname = current_database()
          and application_name = 'bucardo check' and wait_event_type = 'Lock'`,
      );
      stopped = waiting?.pid ?? 0;
      return stopped !== 0;
    });
    process.kill(stopped, 'SIGSTOP');
    const [finding, ...others] = (await checked).filter(({ severity }) => severity === 'error');
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ code: 'BUC-DB-UNREACHABLE', database: 'reports' });
    expect(finding?.text).toContain('longer than 4 s');
  } finally {
    if (stopped !== 0) process.kill(stopped, 'SIGCONT');
    await blocker.close();
    await watcher.close();
  }
});

test('a login that no server stands behind is given up like a connection that is not answered', async () => {
  // AuthenticationOk and ReadyForQuery, then silence: what a pooler does whose server is away.
  const sockets = new Set<{ destroy(): void }>();
  const pooler = createServer((socket) => {
    sockets.add(socket);
    socket.once('data', () =>
      socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])),
    );
  });
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
  const address = pooler.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    const url = `postgres://u@127.0.0.1:${port}/db`;
    await expect(
      connect({ database: 'east', url, purpose: 'test', connectTimeoutMs: 300 }),
    ).rejects.toMatchObject({
      code: 'BUC-DB-UNREACHABLE',
      message: expect.stringContaining('did not answer in time') as string,
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => pooler.close(resolve));
  }
});

interface Finished {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function command(urls: readonly [string, string], ...args: readonly string[]): Promise<Finished> {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-check-'));
  try {
    writeFileSync(
      join(folder, 'bucardo.config.ts'),
      `import { defineConfig, env } from 'bucardo-serverless';
       export default defineConfig({
         databases: { east: { engine: 'postgres', url: env('EAST_URL') }, reports: { engine: 'postgres', url: env('REPORTS_URL') } },
         syncs: { orders: { sources: ['east'], targets: ['reports'], tables: ['public.orders'] } },
       });`,
    );
    const main = join(import.meta.dirname, '../../cli/main.ts');
    const env = { PATH: process.env['PATH'], EAST_URL: urls[0], REPORTS_URL: urls[1] };
    return await new Promise((resolve) => {
      execFile(
        process.execPath,
        [main, 'check', ...args],
        { cwd: folder, env, timeout: 60_000 },
        (error, out, err) => {
          const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ status, out, err });
        },
      );
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the command ends with 0 if there is no error, and with 1 and the whole report if there is one', async () => {
  const [source, target] = await pair('create table orders (id int primary key)');
  const good = await command([source.url, target.url]);
  expect(good).toMatchObject({ status: 0, err: '' });
  expect(good.out).toMatch(/Sync orders\n {2}ok\n\n0 errors, 0 warnings, \d notes\n$/);

  await withSource(target.url, (db) => db.script('drop table public.orders'));
  const bad = await command([source.url, target.url]);
  expect(bad.status).toBe(1);
  expect(bad.out).toContain('ERROR    reports public.orders: A table does not exist (BUC-TABLE-MISSING)');
  expect(bad.out).toContain('           What to do: Create the table there');
  expect(bad.err).toMatch(/^BUC-CHECK-FAILED: .*1 error, 0 warnings/);

  const json = await command([source.url, target.url], '--json');
  expect(json.status).toBe(1);
  expect(JSON.parse(json.out)).toContainEqual(
    expect.objectContaining({ severity: 'error', code: 'BUC-TABLE-MISSING', relation: 'public.orders' }),
  );
});

test('a missing variable is a finding of its database, and the rest is checked', async () => {
  const source = await createDatabase('create table orders (id int primary key)');
  const { status, out } = await command([source.url, ''], '--json');
  expect(status).toBe(1);
  const findings = JSON.parse(out) as readonly Finding[];
  expect(findings.filter(({ severity }) => severity === 'error')).toMatchObject([
    { code: 'BUC-SECRET-MISSING', database: 'reports' },
  ]);
  expect(findings.some(({ database, code }) => database === 'east' && code === 'server')).toBe(true);
});

test('one database under two names, a partition in another sync and a cascade behind other names are found by what is there', async () => {
  const sql = `create table item (id int primary key, at int);
    create table part (id int, at int, primary key (id, at)) partition by range (at);
    create table part_1 partition of part for values from (0) to (10);
    create table own (id int primary key)`;
  const [source, target, third] = [
    await createDatabase(sql),
    await createDatabase(sql),
    await createDatabase(sql),
  ];
  const urls: Readonly<Record<string, string>> = {
    shop: source.url,
    reports: target.url,
    again: target.url,
    third: third.url,
    unused: target.url,
  };
  const fleet = validateConfig(
    {
      databases: Object.fromEntries(
        Object.keys(urls).map((name) => [name, { engine: 'postgres', url: { kind: 'env', name } }]),
      ),
      syncs: {
        both: { sources: ['shop'], targets: ['reports', 'again'], tables: ['public.own'] },
        all: { sources: ['shop'], targets: ['reports'], tables: ['public.part', 'public.item'] },
        one: { sources: ['shop'], targets: ['reports'], tables: ['public.part_1'] },
        onward: { sources: ['again'], targets: ['third'], tables: ['public.item'] },
      },
    },
    'bucardo.config.ts',
  );
  const findings = await checkFleet({ fleet, resolveUrl: ({ name }) => Promise.resolve(urls[name] ?? '') });
  expect(
    findings
      .filter(({ code }) => ['same-database', 'delivered-twice', 'cascade'].includes(code))
      .map(({ severity, code, sync, database, relation = '' }) =>
        [severity, code, sync, database, relation].join(' ').trim(),
      )
      .sort(),
  ).toEqual([
    'error cascade onward again public.item',
    'error delivered-twice one reports public.part_1',
    'error same-database both again',
  ]);
});

test('a key that cannot serve is named with the reason, at the source and at the target', async () => {
  const kinds: readonly (readonly [table: string, sql: string, why: string, oldest?: number])[] = [
    ['deferred', 'id int primary key deferrable', 'it is deferrable'],
    ['expression', 'id int not null; create unique index e on expression ((id + 1))', 'it has an expression'],
    [
      'partial',
      'id int not null; create unique index p on partial (id) where id > 0',
      'it is partial \\(WHERE\\)',
    ],
    [
      'periods',
      'id int4range, at daterange, primary key (id, at without overlaps)',
      'it is WITHOUT OVERLAPS',
      180000,
    ],
  ];
  const source = await createDatabase();
  const app = await source.app();
  const known = kinds.filter(([, , , oldest = 0]) => app.serverVersion >= oldest);
  for (const [table, sql] of known) {
    const [columns = '', ...more] = sql.split('; ');
    await app.script([`create table ${table} (${columns})`, ...more].join('; '));
  }
  const target = await createDatabase('create table fine (id int primary key deferrable)');
  await app.script('create table fine (id int primary key); create table broken (id int)');
  await app.script('insert into broken values (1), (1)');
  await app.script('create unique index concurrently broken_id on broken (id)').catch(() => {});
  const findings = await check(source.url, target.url);
  const textOf = (relation: string, code: string) =>
    findings.find((finding) => finding.relation === `public.${relation}` && finding.code === code)?.text;
  for (const [table, , why] of known)
    expect(textOf(table, 'BUC-TABLE-NO-KEY')).toMatch(
      new RegExp(`its key \\S+ cannot serve, because ${why}`),
    );
  expect(textOf('broken', 'BUC-TABLE-NO-KEY')).toMatch(
    /its key broken_id cannot serve, because it is INVALID/,
  );
  expect(textOf('fine', 'BUC-TARGET-NO-UNIQUE')).toMatch(
    /\(id\); its key fine_pkey cannot serve.*deferrable/,
  );
});

test('a rule at the target that acts on what is written is told, as an error if it acts instead', async () => {
  const [source, target] = await pair('create table item (id int primary key); create table log (id int)');
  const app = await target.app();
  await app.script(`create rule quiet as on insert to item do instead nothing; create rule also as on delete to item do also select 1;
    create rule off as on update to item do also select 1; alter table item disable rule off;
    alter table item enable always rule quiet; alter table item enable always rule also`);
  const findings = await check(source.url, target.url, { tables: ['public.item'] });
  const rules = findings.filter(({ code }) => code === 'rule-acts');
  expect(rules.map(({ severity, text }) => `${severity} ${text}`)).toEqual([
    'warning rule also ON DELETE acts on replicated rows too',
    'error rule quiet ON INSERT DO INSTEAD acts on replicated rows too, which then do not arrive',
  ]);
  expect(rules[1]?.remedy).toContain('alter table "public"."item" disable rule "quiet"');
});
