/** The commands that work on databases, as processes, against real servers. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CommandLine, createCommandLine } from '../support/command-line.ts';
import { createDatabase, inDatabase, type TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait-for.ts';

const CONFIG = `export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: env('SHOP_URL') },
    reports: { engine: 'postgres', url: env('REPORTS_URL') },
  },
  syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
});`;

const SCHEMA = `
  create table customer (id int primary key, name text not null);
  create table purchase (id int primary key, customer int references customer, total numeric(10, 2));`;

let shop: TestDatabase;
let reports: TestDatabase;
let bucardo: CommandLine;

beforeEach(async () => {
  shop = await createDatabase(SCHEMA);
  reports = await createDatabase(SCHEMA);
  bucardo = createCommandLine(CONFIG, { SHOP_URL: shop.url, REPORTS_URL: reports.url });
});

afterEach(async () => {
  await bucardo[Symbol.asyncDispose]();
});

const inShop = (sql: string): Promise<void> => inDatabase(shop, (db) => db.script(sql));
const inReports = (sql: string): Promise<void> => inDatabase(reports, (db) => db.script(sql));

async function customers(database: TestDatabase): Promise<readonly string[]> {
  const rows = await inDatabase(database, (db) =>
    db.rows<{ row: string }>(`select c::text as row from customer c order by id`),
  );
  return rows.map(({ row }) => row);
}

async function customersAreEqual(): Promise<boolean> {
  return JSON.stringify(await customers(shop)) === JSON.stringify(await customers(reports));
}

describe('plan and apply', () => {
  it('say what they do, do it once, and take it back without a trace', async () => {
    const before = await objectsOf(shop);
    const plan = await bucardo.run('plan');
    expect(plan).toMatchObject({ status: 0, err: '' });
    expect(plan.out).toContain('Capture public.customer');
    expect(await objectsOf(shop)).toEqual(before);

    expect((await bucardo.run('apply')).out).toMatch(/^Source shop: \d+ steps done/);
    expect(await bucardo.run('apply')).toMatchObject({ status: 0, out: 'Source shop: nothing to do\n' });

    const uninstalled = await bucardo.run('uninstall');
    expect(uninstalled).toMatchObject({
      status: 0,
      out: 'Source shop: nothing of ours is left\nTarget reports: nothing of ours is left\n',
    });
    expect(await objectsOf(shop)).toEqual(before);
  });

  it('print SQL that does the same when a person runs it', async () => {
    const { out } = await bucardo.run('plan', '--sql');
    await inShop(out);
    expect((await bucardo.run('plan')).out).toBe('Source shop: nothing to do\n');
  });

  it('end with status 1 and the remedy when a table has no key, and change nothing', async () => {
    await inShop('create table keyless (v text)');
    const before = await objectsOf(shop);
    const { status, out } = await bucardo.run('apply');
    expect(status).toBe(1);
    expect(out).toContain('BUC-TABLE-NO-KEY');
    expect(out).toContain('public.keyless');
    expect(out).toContain('What to do: Add a primary key');
    expect(await objectsOf(shop)).toEqual(before);
  });
});

describe('dev', () => {
  it('brings over what is there and what changes, and ends cleanly on a signal', async () => {
    await inShop(`insert into customer select i, 'name ' || i from generate_series(1, 50) i`);
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    await waitFor(customersAreEqual);
    await inShop(`update customer set name = 'new' where id < 10; delete from customer where id = 50`);
    await waitFor(customersAreEqual);

    const second = await bucardo.run('dev');
    expect(second.status).toBe(1);
    expect(second.err).toContain('BUC-DEV-RUNNING');

    const ended = await dev.stop('SIGTERM');
    expect(ended.status).toBe(0);
    expect(ended.out).toBe('ready\n');
    expect(existsSync(join(bucardo.folder, '.bucardo/dev.json'))).toBe(false);
    const events = ended.err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    expect(events.map(({ event }) => event)).toContain('lane.run.completed');
  });
});

describe('apply beside a running dev', () => {
  it('has a new table copied at once, without waiting for a change or a sweep', async () => {
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    const newTable = 'create table later (id int primary key, v text)';
    await inReports(newTable);
    await inShop(`${newTable}; insert into later select i, 'x' from generate_series(1, 10) i`);
    await bucardo.run('apply');
    await waitFor(async () => {
      const [row] = await inDatabase(reports, (db) =>
        db.rows<{ rows: number }>('select count(*)::int as rows from later'),
      );
      return row?.rows === 10;
    });
    await dev.stop('SIGTERM');
  });
});

describe('kick', () => {
  it('waits until all that was committed has arrived', async () => {
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    for (let i = 1; i <= 5; i += 1) {
      await inShop(`insert into customer values (${i}, 'x')`);
      const { status, out } = await bucardo.run('kick', 'orders', '--wait', '--json');
      expect(status).toBe(0);
      expect(JSON.parse(out)).toEqual([{ lane: 'orders/reports', outcome: 'done' }]);
      expect(await customersAreEqual()).toBe(true);
    }
    expect((await dev.stop('SIGINT')).status).toBe(0);
  });

  it('tells why a lane does not get done', async () => {
    await bucardo.run('apply');
    await inReports('drop table purchase; drop table customer');
    await inShop(`insert into customer values (1, 'x')`);
    const dev = await bucardo.start('ready', 'dev');
    const { status, err } = await bucardo.run('kick', 'orders', '--wait', '--timeout', '20');
    expect(status).toBe(1);
    expect(err).toContain('BUC-LANE-NOT-DONE');
    expect(err).toContain('public.customer');
    await dev.stop('SIGTERM');
  });

  it('says that nothing runs, and what to start', async () => {
    const { status, err } = await bucardo.run('kick', 'orders');
    expect(status).toBe(1);
    expect(err).toContain('BUC-DEV-NOT-RUNNING');
    expect(err).toContain('bucardo dev');
  });

  it('names the syncs that there are when asked for another', async () => {
    const { status, err } = await bucardo.run('kick', 'nothing');
    expect(status).toBe(1);
    expect(err).toContain('BUC-LANE-UNKNOWN');
    expect(err).toContain('orders');
  });
});

describe('status', () => {
  it('counts what waits and names what holds a lane up', async () => {
    await inShop(`insert into customer values (1, 'x')`);
    expect(await bucardo.run('status')).toMatchObject({
      status: 1,
      out: expect.stringContaining('bucardo apply') as string,
    });
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    await waitFor(customersAreEqual);
    await dev.stop('SIGTERM');
    await inShop(`insert into customer select i, 'x' from generate_series(2, 8) i; truncate purchase`);

    const { status, out } = await bucardo.run('status', '--json');
    expect(status).toBe(0);
    const { lanes } = JSON.parse(out) as { lanes: readonly { pending: number; lagSeconds: number }[] };
    expect(lanes).toMatchObject([
      { lane: 'orders/reports', pending: 8, failures: 0, rejectedRows: 0, totalRows: 1 },
    ]);
    expect(lanes[0]?.lagSeconds).toBeGreaterThan(0);

    const again = await bucardo.start('ready', 'dev');
    await waitFor(customersAreEqual);
    await again.stop('SIGTERM');
    const text = (await bucardo.run('status')).out;
    expect(text).toMatch(/^lane +state +pending/);
    expect(text).toContain('needs copy');
    expect(text).toContain('bucardo copy orders --to reports --table public.purchase');
  });
});

describe('pause, resume and redrive', () => {
  it('keep a lane waiting, let it go on, and try what has a dead letter', async () => {
    await bucardo.run('apply');
    expect(await bucardo.run('pause', 'orders', '--to', 'reports')).toMatchObject({
      status: 0,
      out: 'orders/reports paused\n',
    });
    const dev = await bucardo.start('ready', 'dev');
    await inShop(`insert into customer values (1, 'x')`);
    expect(await bucardo.run('kick', 'orders', '--wait')).toMatchObject({
      status: 1,
      err: expect.stringContaining('bucardo resume orders') as string,
    });
    const text = (await bucardo.run('status')).out;
    expect(text).toMatch(/orders\/reports +paused +1/);
    expect(text).toContain('bucardo resume orders --to reports');
    expect(await customers(reports)).toEqual([]);
    expect((await bucardo.run('resume', 'orders', '--json')).out).toBe('{"lanes":["orders/reports"]}\n');
    await waitFor(customersAreEqual);
    expect((await bucardo.run('redrive')).out).toBe('no lane has a dead letter\n');

    await inShop('update bucardo.lane_status set dead_letter_at = clock_timestamp(), failures = 1');
    expect((await bucardo.run('status')).out).toContain('bucardo redrive orders --to reports');
    expect((await bucardo.run('redrive')).out).toBe('orders/reports kicked\n');
    await waitFor(async () => (await bucardo.run('redrive')).out === 'no lane has a dead letter\n');
    await dev.stop('SIGTERM');
  });

  it('say that a source wants apply, and name the syncs that there are', async () => {
    expect(await bucardo.run('pause', 'orders')).toMatchObject({
      status: 1,
      err: expect.stringContaining('BUC-NOT-APPLIED') as string,
    });
    expect(await bucardo.run('pause', 'nothing')).toMatchObject({
      status: 1,
      err: expect.stringContaining('BUC-LANE-UNKNOWN') as string,
    });
    expect((await bucardo.run('pause')).status).toBe(2);
  });
});

describe('copy', () => {
  it('makes a table equal whatever the target had, and reports each table', async () => {
    await inShop(`insert into customer select i, 'x' from generate_series(1, 2000) i`);
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    await waitFor(customersAreEqual);
    await inReports(
      `update customer set name = 'wrong' where id % 3 = 0; insert into customer values (9999, 'stray')`,
    );
    expect(await customersAreEqual()).toBe(false);
    const { status, out } = await bucardo.run(
      'copy',
      'orders',
      '--table',
      'public.customer',
      '--wait',
      '--json',
    );
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual([
      { destination: 'reports', table: 'public.customer', outcome: 'copied' },
    ]);
    expect(await customersAreEqual()).toBe(true);
    await dev.stop('SIGTERM');
  });

  it('refuses a table that the sync does not have, and a name that is none', async () => {
    await bucardo.run('apply');
    const dev = await bucardo.start('ready', 'dev');
    expect(await bucardo.run('copy', 'orders', '--table', 'public.other')).toMatchObject({
      status: 1,
      err: expect.stringContaining('public.other') as string,
    });
    expect((await bucardo.run('copy', 'orders', '--table', 'other')).status).toBe(2);
    await dev.stop('SIGTERM');
  });
});

describe('rejected', () => {
  it('lists refused rows, retries them after the cause is mended, and forgets them', async () => {
    await bucardo.run('apply');
    await inReports(`alter table customer add constraint short check (length(name) < 5)`);
    await inShop(
      `insert into customer values (1, 'ok'), (2, 'much too long'), (3, 'fine'), (4, 'also too long')`,
    );
    const dev = await bucardo.start('ready', 'dev');
    await waitFor(async () => (await rejectedKeys()).length === 2);
    expect(await rejectedKeys()).toEqual([['2'], ['4']]);
    const table = (await bucardo.run('rejected', 'list', 'orders')).out;
    expect(table).toContain('check constraint violated');
    expect(table).not.toContain('much too long');

    await inReports(`alter table customer drop constraint short`);
    expect((await bucardo.run('rejected', 'retry', 'orders', '--table', 'public.customer')).out).toBe(
      'retrying: 2 rows\n',
    );
    await waitFor(customersAreEqual);
    await waitFor(async () => (await rejectedKeys()).length === 0);

    await inReports(`alter table customer add constraint short check (length(name) < 5) not valid`);
    await inShop(`insert into customer values (5, 'too long again')`);
    await waitFor(async () => (await rejectedKeys()).length === 1);
    expect((await bucardo.run('rejected', 'discard', 'orders')).out).toBe('discarded: 1 rows\n');
    expect(await rejectedKeys()).toEqual([]);
    await dev.stop('SIGTERM');
  });
});

async function rejectedKeys(): Promise<readonly (readonly string[])[]> {
  const { out } = await bucardo.run('rejected', 'list', 'orders', '--json');
  return (JSON.parse(out) as readonly { key: readonly string[] }[])
    .map(({ key }) => key)
    .toSorted((a, b) => Number(a[0]) - Number(b[0]));
}

/** Everything that `apply` could leave behind. */
async function objectsOf(database: TestDatabase): Promise<readonly string[]> {
  const rows = await inDatabase(database, (db) =>
    db.rows<{ name: string }>(`
      select 'relation ' || oid::regclass as name from pg_class where relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
      union all select 'function ' || oid::regprocedure from pg_proc where pronamespace::regnamespace::text in ('public', 'bucardo')
      union all select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where not tgisinternal
      union all select 'schema ' || nspname from pg_namespace
      order by 1`),
  );
  return rows.map(({ name }) => name).filter((name) => !/pg_temp|pg_toast/.test(name));
}
