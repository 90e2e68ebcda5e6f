/** Rows that a target refuses: parked with the reason and without their values; everything else arrives. */
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { discardRejected, retryRejected } from '../../shared/status/rejected-rows.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';

const MODES = [undefined, 'writer'] as const;

async function refusedKeys(lane: LaneFixture): Promise<readonly string[]> {
  const rows = await lane.rejected();
  return rows.map(({ relation, key }) => `${relation} ${key.join('|')}`).sort();
}

describe.each(MODES)('with the target role %s', (targetRole) => {
  test('a few bad rows among thousands are parked, the others arrive', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, note text); create table other (id int primary key)`,
        target: `create table orders (id int primary key, note varchar(9)); create table other (id int primary key)`,
      },
      targetRole,
    });
    await lane.source.script(`
      insert into orders select n, case when n in (17, 4000, 9000) then 'far too long' else 'note' end from generate_series(1, 9000) n;
      insert into other select n from generate_series(1, 9000) n`);
    await lane.run();
    expect(await refusedKeys(lane)).toEqual(['public.orders 17', 'public.orders 4000', 'public.orders 9000']);
    await lane.expectEqual(['public.other']);
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '8997' });
    expect((await lane.rejected())[0]).toMatchObject({
      code: 'BUC-ROW-REFUSED',
      attempts: 1,
      lane: 'orders/reports',
    });
  });

  test('a parked row is tried again when it changes, and forgotten when it got in', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, amount int)`,
        target: `create table orders (id int primary key, amount int check (amount < 10))`,
      },
      targetRole,
    });
    await lane.source.script(`insert into orders values (1, 1), (2, 20), (3, 30), (4, 40)`);
    await lane.run();
    expect(await refusedKeys(lane)).toEqual(['public.orders 2', 'public.orders 3', 'public.orders 4']);
    await lane.source.script(`
      update orders set amount = 2 where id = 2; update orders set amount = 31 where id = 3; delete from orders where id = 4`);
    await lane.run();
    expect(await lane.rejected()).toMatchObject([{ key: ['3'], attempts: 2 }]);
    expect(await lane.target.rows(`select * from orders order by id`)).toEqual([
      { id: 1, amount: 1 },
      { id: 2, amount: 2 },
    ]);
  });

  test('parked rows can be retried and discarded', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, amount int)`,
        target: `create table orders (id int primary key, amount int constraint small check (amount < 10))`,
      },
      targetRole,
    });
    await lane.source.script(`insert into orders values (1, 10), (2, 20), (3, 30)`);
    await lane.run();
    const filter = {
      sync: 'orders',
      destination: 'reports',
      relation: { schema: 'public', table: 'orders' },
    };
    expect(await retryRejected(lane.source, filter)).toBe(3);
    await lane.run();
    expect(await lane.rejected()).toMatchObject([{ attempts: 2 }, { attempts: 2 }, { attempts: 2 }]);

    await lane.source.run(`delete from bucardo.rejected_row where key = '{1}'`);
    await lane.target.script(`alter table orders drop constraint small`);
    expect(await retryRejected(lane.source, filter)).toBe(2);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    expect(await lane.target.rows(`select id from orders order by id`)).toEqual([{ id: 2 }, { id: 3 }]);

    await lane.target.script(`alter table orders add constraint none check (amount < 100)`);
    await lane.source.script(`update orders set amount = 100`);
    await lane.run();
    expect(await discardRejected(lane.source, { sync: 'another' })).toBe(0);
    expect(await discardRejected(lane.source, filter)).toBe(3);
    expect(await lane.rejected()).toEqual([]);
  });

  test.each([
    ['boolean', `false`, `true`],
    ['char(5)', `'a'`, `'b'`],
    ['inet', `'10.0.0.1'`, `'10.0.0.2/8'`],
    ['bytea', `'\\x00'`, `'\\xff'`],
    ['double precision', `0.1`, `'-infinity'`],
    ['timestamptz', `'infinity'`, `'2024-01-01 00:00:00.000001+02'`],
    ['numeric', `1.10`, `'NaN'`],
    ['text', `E'tab\\t\\\\N'`, `'ü'`],
    ['interval', `'1 mon'`, `'1 day'`],
    ['"char"', `'a'`, `''`],
    ['integer[]', `'[0:1]={1,NULL}'`, `'{}'`],
    ['date', `'0001-01-01 BC'`, `'2024-01-01'`],
    ['int4range', `'[1,2]'`, `'empty'`],
  ])('a row whose key is %s is parked, retried and unparked', async (type, good, bad) => {
    const table = `create table keyed (part int, k ${type}, amount int, primary key (part, k))`;
    const lane = await createLaneFixture({
      schema: {
        source: table,
        target: `${table}; alter table keyed add constraint small check (amount < 10)`,
      },
      targetRole,
    });
    await lane.source.script(`insert into keyed values (1, ${good}, 1), (1, ${bad}, 10), (2, ${good}, 20)`);
    await lane.run();
    expect(await lane.rejected()).toHaveLength(2);
    await lane.source.script(`update keyed set amount = 2 where part = 2`);
    await lane.run();
    expect(await lane.rejected()).toHaveLength(1);
    await lane.target.script(`alter table keyed drop constraint small`);
    expect(await retryRejected(lane.source, { sync: 'orders' })).toBe(1);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual();
  });

  test('a row with NULL in its key is parked and unparked', async () => {
    const table = `create table sets (a int, b text, amount int, unique (a, b))`;
    const lane = await createLaneFixture({
      schema: { source: table, target: `${table}; alter table sets add check (amount < 10)` },
      targetRole,
    });
    await lane.source.script(`insert into sets values (1, null, 10), (null, null, 1)`);
    await lane.run();
    expect((await lane.rejected()).map(({ key }) => key)).toEqual([['1', null]]);
    await lane.source.script(`update sets set amount = 9 where a = 1`);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual();
  });

  test('nothing but the key says what was in a refused row', async () => {
    const secret = 'classified';
    const lane = await createLaneFixture({
      schema: {
        source: `create table facts (id int primary key, kind text, fact text)`,
        target: `
          create table facts (id int primary key, kind text, fact text unique);
          insert into facts values (100, 'taken', '${secret}');
          alter table facts add constraint shape check (kind <> 'check ${secret}');
          alter table facts alter kind set not null;
          create function refuse() returns trigger language plpgsql as $$ begin
            if new.kind = 'trigger ${secret}' then raise exception 'refused: %', new.fact using detail = new.fact, hint = new.kind; end if;
            return new;
          end $$;
          create trigger refuse before insert or update on facts for each row execute function refuse();
          alter table facts enable always trigger refuse`,
      },
      targetRole,
    });
    await lane.source.script(`
      insert into facts values (1, 'unique', '${secret}'), (2, 'check ${secret}', 'x'), (3, null, 'y ${secret}'),
        (4, 'trigger ${secret}', 'z ${secret}'), (5, 'fine', 'fine ${secret}')`);
    await lane.run();
    const rejected = await lane.rejected();
    expect(rejected.map(({ key: [key], message }) => [key, message]).sort(byFirst)).toMatchObject([
      [
        '1',
        expect.stringMatching(/^unique constraint violated \(.*constraint facts_fact_key\), SQLSTATE 23505$/),
      ],
      ['2', expect.stringMatching(/^check constraint violated \(.*constraint shape\), SQLSTATE 23514$/)],
      ['3', expect.stringMatching(/^NULL in a NOT NULL column \(.*column kind\), SQLSTATE 23502$/)],
      ['4', 'raised by a trigger or rule, in function refuse(), SQLSTATE P0001'],
    ]);
    const control = await lane.source.rows<{ table: string }>(
      `select format('%I.%I', schemaname, tablename) as table from pg_tables where schemaname = 'bucardo'`,
    );
    for (const { table } of control) {
      const { text } = await lane.source.row<{ text: string | null }>(
        `select string_agg(t::text, ' ') as text from ${table} t`,
      );
      expect(text ?? '', table).not.toContain(secret);
    }
    expect(inspect(lane.events, { depth: 10 })).not.toContain(secret);
    expect(await lane.target.rows(`select id from facts order by id`)).toEqual([{ id: 5 }, { id: 100 }]);
  });

  test.each([
    ['a check', `alter table t add check (v <> 'bad')`, '23514'],
    ['NOT NULL', `update t set v = ''; alter table t alter v set not null`, '23502'],
    ['a unique constraint', `alter table t add unique (v); insert into t values (99, 'bad')`, '23505'],
    [
      'an exclusion constraint',
      `alter table t add exclude using btree (v with =); insert into t values (99, 'bad')`,
      '23P01',
    ],
    ['a shorter type', `alter table t alter v type varchar(2)`, '22001'],
    ['another type', `alter table t alter v type int using null`, '22P02'],
    [
      'a domain’s check',
      `create domain good as text check (value <> 'bad'); alter table t alter v type good`,
      '23514',
    ],
    [
      'a domain of a shorter type',
      `create domain short as varchar(2); alter table t alter v type short`,
      '22001',
    ],
    [
      'a domain of a shorter domain',
      `create domain short as char(2); create domain shorter as short; alter table t alter v type shorter`,
      '22001',
    ],
    ['a trigger', raising('P0001'), 'P0001'],
    ['a trigger with an error code of its own', raising('45000'), '45000'],
    ['a trigger with a code of no standard', raising('MYERR'), 'MYERR'],
    ['a trigger that divides by zero', raising('22012'), '22012'],
    ['an index that is too small for the value', `create index on t (v)`, '54000'],
  ])('a row that %s refuses is parked with its SQLSTATE', async (_, constraint, sqlstate) => {
    const table = `create table t (id int primary key, v text); create table other (id int primary key)`;
    const lane = await createLaneFixture({
      schema: { source: table, target: `${table}; ${constraint}` },
      targetRole,
    });
    const bad =
      sqlstate === '23502'
        ? 'null'
        : sqlstate === '54000'
          ? `(select string_agg(md5(n::text), '') from generate_series(1, 500) n)`
          : `'bad'`;
    await lane.source.script(`
      begin; insert into t values (1, '1'), (2, ${bad}), (3, '3'); insert into other values (1); commit`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    expect(await refusedKeys(lane)).toEqual(['public.t 2']);
    expect(await lane.source.row(`select sqlstate from bucardo.rejected_row`)).toEqual({ sqlstate });
    expect(await lane.target.rows(`select id from t where id < 99 order by id`)).toEqual([
      { id: 1 },
      { id: 3 },
    ]);
    await lane.expectEqual(['public.other']);
  });

  test('too many refused rows hold the relation, the others go on, and it catches up', async () => {
    const tables = `create table orders (id int primary key, amount int); create table other (id int primary key, n int)`;
    const lane = await createLaneFixture({
      schema: {
        source: tables,
        target: `${tables}; alter table orders add constraint small check (amount < 10)`,
      },
      targetRole,
    });
    await lane.source.script(`
      insert into orders select n, n % 20 from generate_series(1, 3000) n; insert into other select n, n from generate_series(1, 10) n`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.orders', code: 'BUC-TOO-MANY-REFUSED' }]);
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual(['public.other']);
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '0' });

    await lane.source.script(`update other set n = n + 1; update orders set amount = 1 where id < 100`);
    await lane.run();
    await lane.expectEqual(['public.other']);
    await lane.target.script(`alter table orders drop constraint small`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('rows that refuse a first copy’s chunk are parked, the others are copied', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `create table orders (id int primary key, amount int); insert into orders select n, n % 1000 from generate_series(1, 3000) n`,
        target: `create table orders (id int primary key, amount int check (amount < 999))`,
      },
      copy: 'if-empty',
      targetRole,
    });
    await lane.run();
    expect(await refusedKeys(lane)).toEqual([
      'public.orders 1999',
      'public.orders 2999',
      'public.orders 999',
    ]);
    expect(await lane.target.row(`select count(*) from orders`)).toEqual({ count: '2997' });
    await lane.source.script(`update orders set amount = 5 where id = 999`);
    await lane.run();
    expect(await refusedKeys(lane)).toEqual(['public.orders 1999', 'public.orders 2999']);
  });
});

test('a row that waits for a foreign key is parked with the key’s name, and its parent brings it after a retry', async () => {
  const tables = `create table parents (id int primary key); create table children (id int primary key, parent int)`;
  const lane = await createLaneFixture({
    schema: {
      source: tables,
      target: `${tables}; alter table children add constraint family foreign key (parent) references parents`,
    },
    targetRole: 'writer',
  });
  await lane.source.script(`insert into children values (1, 1), (2, null)`);
  await lane.run();
  expect(await lane.rejected()).toMatchObject([
    { key: ['1'], message: expect.stringContaining('constraint family') },
  ]);
  await lane.source.script(`insert into parents values (1)`);
  await lane.run();
  await retryRejected(lane.source, { sync: 'orders' });
  await lane.run();
  expect(await lane.rejected()).toEqual([]);
  await lane.expectEqual();
});

test('a row that a deferred constraint refuses only at the commit is parked too', async () => {
  const tables = `create table parents (id int primary key); create table children (id int primary key, parent int); create table other (id int primary key)`;
  const lane = await createLaneFixture({
    schema: {
      source: tables,
      target: `${tables};
        alter table children add foreign key (parent) references parents deferrable initially deferred`,
    },
    targetRole: 'writer',
  });
  await lane.source.script(`
    begin; insert into parents values (1); insert into children values (1, 1), (2, 2), (3, 1); insert into other values (1); commit`);
  await lane.run();
  expect(await refusedKeys(lane)).toEqual(['public.children 2']);
  await lane.expectEqual(['public.parents', 'public.other']);
  expect(await lane.target.rows(`select id from children order by id`)).toEqual([{ id: 1 }, { id: 3 }]);
});

function raising(sqlstate: string): string {
  return `
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.v = 'bad' then raise exception 'no' using errcode = '${sqlstate}'; end if;
      return new;
    end $$;
    create trigger refuse before insert or update on t for each row execute function refuse();
    alter table t enable always trigger refuse`;
}

test('a child that waited for a parked parent arrives with it', async () => {
  const tables = `create table parents (id int primary key, amount int); create table children (id int primary key, parent int);
    create table grandchildren (id int primary key, child int)`;
  const lane = await createLaneFixture({
    schema: {
      source: tables,
      target: `${tables}; alter table parents add check (amount < 10);
        alter table children add foreign key (parent) references parents;
        alter table grandchildren add foreign key (child) references children`,
    },
    targetRole: 'writer',
  });
  await lane.source.script(
    `insert into parents values (1, 10); insert into children values (1, 1); insert into grandchildren values (1, 1)`,
  );
  await lane.run();
  expect(await lane.rejected()).toHaveLength(3);
  await lane.source.script(`update parents set amount = 1`);
  await lane.run();
  expect(await lane.rejected()).toEqual([]);
  await lane.expectEqual();
});

test('a row with the longest possible key is parked and unparked', async () => {
  const table = `create table blobs (hash bytea primary key, amount int)`;
  const lane = await createLaneFixture({
    schema: { source: table, target: `${table}; alter table blobs add check (amount < 10)` },
  });
  const bytes = `decode((select string_agg(md5(n::text), '') from generate_series(1, 160) n), 'hex')`;
  await lane.source.script(`insert into blobs values (${bytes}, 10), ('\\x00', 1)`);
  await lane.run();
  expect(await lane.rejected()).toHaveLength(1);
  await lane.source.script(`update blobs set amount = 1`);
  await lane.run();
  expect(await lane.rejected()).toEqual([]);
  await lane.expectEqual();
});

test('a copy that is asked for tries refused rows anew', async () => {
  const table = `create table orders (id int primary key, amount int)`;
  const lane = await createLaneFixture({
    schema: {
      source: table,
      target: `${table}; alter table orders add constraint small check (amount < 10)`,
    },
  });
  await lane.source.script(`insert into orders values (1, 1), (2, 10)`);
  await lane.run();
  await lane.target.script(`alter table orders drop constraint small`);
  await requestCopy(lane.source, { sync: 'orders' });
  await lane.run();
  await lane.expectEqual();
  expect(await lane.rejected()).toEqual([]);
});

function byFirst(
  [a = '']: readonly (string | null | undefined)[],
  [b = '']: readonly (string | null | undefined)[],
): number {
  return (a ?? '') < (b ?? '') ? -1 : 1;
}
