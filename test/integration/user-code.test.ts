/**
 * Code of users' own that our writes call: triggers, checks, domains, generated columns, defaults, indexes. It sees the settings of
 * the role, as in any other session; ours are not to be met by what stands in the role's search_path.
 */
import { describe, expect, inject, test } from 'vitest';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';
import { HOSTILE_SCHEMA } from '../support/hostile-schema.ts';
import { insertSamples, multiplySamples, sampleRows, sampleSchema } from '../support/type-samples.ts';

const major = inject('serverMajor');

/** Far from ours in everything that a function may read. */
const OWN: Readonly<Record<string, string>> = {
  search_path: 'app, public',
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kolkata',
  bytea_output: 'escape',
  extra_float_digits: '-15',
};

const SOURCE_TABLE = `create table item (id int primary key, note text, amount int)`;

/** Every function finds its tables and functions by the role's search_path alone. */
const TARGET_CODE = `
  create schema app;
  create table app.audit_log (what text, settings text);
  create table app.allowed (amount int);
  insert into app.allowed select generate_series(0, 5000);
  create function app.settings_now() returns text language sql stable as $$
    select string_agg(name || '=' || current_setting(name), '; ' order by name)
    from unnest(array['search_path', 'DateStyle', 'IntervalStyle', 'TimeZone', 'bytea_output', 'extra_float_digits']) name $$;
  create function app.audit() returns trigger language plpgsql as $$
    begin
      insert into audit_log values (tg_op, settings_now());
      return null;
    end $$;
  create function app.is_allowed(wanted int) returns boolean language plpgsql stable as $$
    begin
      return exists (select from allowed where amount = wanted);
    end $$;
  create function app.doubled(n int) returns int language plpgsql immutable as $$ begin return twice(n); end $$;
  create function app.twice(n int) returns int language plpgsql immutable as $$ begin return n * 2; end $$;
  create domain app.amount as int check (app.is_allowed(value));
  create table item (id int primary key, note text, amount app.amount check (app.is_allowed(amount)),
    double_amount int generated always as (app.doubled(amount)) stored, seen int default app.doubled(21));
  create index on item (app.doubled(id));
  create trigger audit after insert or update or delete on item for each row execute function app.audit();
  create trigger audit_statement after insert or update or delete on item for each statement execute function app.audit();
  alter table item enable always trigger audit;
  alter table item enable always trigger audit_statement;
  grant usage on schema app to public;
  grant all on all tables in schema app to public`;

const roleOf = (targetRole: 'writer' | undefined): string => targetRole ?? 'postgres';

async function setForRole(
  lane: LaneFixture,
  role: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const { name } = await lane.target.row<{ name: string }>('select current_database()::text as name');
  for (const [setting, value] of Object.entries(settings)) {
    const list = setting === 'search_path' ? value : `'${value}'`;
    await lane.target.script(`alter role ${role} in database ${name} set ${setting} = ${list}`);
  }
  await lane.forgetConnections();
}

async function expectOwnSettings(lane: LaneFixture): Promise<void> {
  const seen = await lane.target.rows<{ settings: string }>('select distinct settings from app.audit_log');
  const expected = Object.keys(OWN)
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => `${name}=${OWN[name]}`)
    .sort();
  expect(seen.map(({ settings }) => settings.split('; ').sort())).toEqual([expected]);
  await lane.target.script('truncate app.audit_log');
}

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test('users’ code finds its tables and sees the role’s settings, by every way that rows come', async () => {
    const lane = await createLaneFixture({
      schema: { source: SOURCE_TABLE, target: TARGET_CODE },
      tables: ['public.item'],
      targetRole,
      copy: 'if-empty',
    });
    await setForRole(lane, roleOf(targetRole), OWN);
    await lane.source.script(`insert into item select n, 'copied', n % 5000 from generate_series(1, 2000) n`);
    await lane.run();
    await expectOwnSettings(lane);
    await lane.source.script(`update item set note = 'few' where id < 10; delete from item where id = 10`);
    await lane.run();
    await expectOwnSettings(lane);
    await lane.source.script(`update item set note = 'many'; delete from item where id between 20 and 30`);
    await lane.run();
    await expectOwnSettings(lane);
    // A refused row sends the batch the careful way.
    await lane.source.script(`insert into item values (9000, 'refused', 77777), (9001, 'taken', 7)`);
    await lane.run();
    await expectOwnSettings(lane);
    expect(await lane.held()).toEqual([]);
    expect((await lane.rejected()).map(({ key }) => key)).toEqual([['9000']]);
    await lane.source.script('delete from item where id = 9000');
    await lane.run();
    await lane.expectEqual();
  });

  test('a failing function is named, and is no missing table of the sync', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: SOURCE_TABLE,
        target: `${SOURCE_TABLE};
          create schema app;
          create function app.inner_step() returns void language plpgsql as $$
            begin insert into nowhere values ('secret note'); end $$;
          create function app.audit() returns trigger language plpgsql as $$
            begin perform app.inner_step(); return null; end $$;
          create trigger audit after insert on item for each row execute function app.audit();
          alter table item enable always trigger audit;
          grant usage on schema app to public`,
      },
      tables: ['public.item'],
      targetRole,
    });
    await lane.source.script(`insert into item values (1, 'secret note', 1)`);
    await lane.run();
    const [held] = await lane.held();
    expect(held).toMatchObject({ table: 'public.item', code: 'BUC-USER-CODE' });
    expect(held?.detail).toContain(
      'relation "nowhere" does not exist, in function app.inner_step(), called by app.audit()',
    );
    expect(held?.detail).not.toContain('secret');

    await lane.target.script(`create or replace function app.inner_step() returns void language plpgsql as $$
      begin raise exception 'not this row: secret note'; end $$`);
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    const [parked] = await lane.rejected();
    expect(parked?.message).toContain(
      'raised by a trigger or rule, in function app.inner_step(), called by app.audit()',
    );
    expect(parked?.message).not.toContain('secret');
  });

  test('values of every type arrive under the role’s own formats', async () => {
    const lane = await createLaneFixture({ schema: sampleSchema(major), targetRole });
    await setForRole(lane, roleOf(targetRole), {
      ...OWN,
      search_path: 'public',
      lc_monetary: 'C.UTF-8',
      xmloption: 'document',
    });
    await lane.source.script(insertSamples(major));
    await lane.run();
    await lane.expectEqual(['public.samples']);
    await lane.source.script(multiplySamples(major, Math.ceil(1_200 / sampleRows(major)), 1_000));
    await lane.run();
    await lane.expectEqual(['public.samples']);
  });

  test('a schema before pg_catalog that has all its names meets none of ours', async () => {
    const schema = `create table item (id int primary key, note text, at timestamptz, price numeric(10, 2), tag "char", ids uuid[]);
      create table part (a text, b int, item int references item, unique (a, b))`;
    const lane = await createLaneFixture({
      schema: { source: `${schema}; ${HOSTILE_SCHEMA}`, target: `${schema}; ${HOSTILE_SCHEMA}` },
      tables: ['public.*'],
      targetRole,
      copy: 'if-empty',
    });
    const hostile = 'evil, public, pg_catalog';
    const { name } = await lane.source.row<{ name: string }>('select current_database()::text as name');
    await lane.source.script(`alter role postgres in database ${name} set search_path = ${hostile}`);
    await setForRole(lane, roleOf(targetRole), { search_path: hostile });
    await lane.apply();
    await lane.source.script(
      `insert into item select n, 'note', now(), n, 'x', array[gen_random_uuid_or_null()] from generate_series(1, 30) n`.replace(
        'gen_random_uuid_or_null()',
        'null::uuid',
      ),
    );
    await lane.source.script(
      `insert into part select 'a' || n, n, n from generate_series(1, 30) n; insert into part values (null, 1, 1), ('b', null, 2)`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(
      `update item set note = 'changed' where id < 20; delete from part where b > 10; update part set b = 99 where a is null`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.source.script(
      `insert into item select n, 'many', now(), n, 'x', null from generate_series(1000, 13000) n`,
    );
    await lane.run();
    await lane.expectEqual();
    await lane.target.script(`alter table item add check (price <> 5) not valid`);
    await lane.source.script(
      `update item set price = 5 where id = 12; update item set price = 6 where id = 13`,
    );
    await lane.run();
    expect(await lane.held()).toEqual([]);
    expect((await lane.rejected()).map(({ key }) => key)).toEqual([['12']]);
  });
});
