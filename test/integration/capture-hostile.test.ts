/**
 * The trigger functions run with the rights of whoever ran `apply`, under the search_path of whoever writes. Nothing of the writer's
 * can get into them: not by a name in front of ours, not by a cast or a type of the table's owner.
 */
import { describe, expect, test } from 'vitest';
import type { Connection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import { applySource, deltasOf, forgetDeltas, sourceSync } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';

const TABLES = `create table t (id int primary key, at timestamptz, note text);
  create table n (a text, b date, note text, unique (a, b))`;

async function bodiesOf(db: Connection): Promise<readonly string[]> {
  const rows = await db.rows<{ body: string }>(
    `select prosrc as body from pg_proc where pronamespace = 'bucardo'::regnamespace and proname like 'capture\\_%'`,
  );
  return rows.map(({ body }) => body);
}

/** What stands in front of a parenthesis and is no function. */
const NO_FUNCTION = new Set(
  'case coalesce lateral from values array and or on insert into select join where in exists then'.split(' '),
);

describe.each(['auto', 'row'] as const)('capture %s', (capture) => {
  test('no function, operator, type or table in the trigger functions is found by the search_path', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ capture })]);
    const bodies = await bodiesOf(await database.app());
    expect(bodies).toHaveLength(2);
    for (const body of bodies) {
      const code = body
        .replaceAll('is distinct from null', 'is given')
        .replace(/^\n-- .*\n/, '\n')
        .replaceAll(/-- .*\n/g, '\n')
        .replace('#variable_conflict use_column', '')
        .replaceAll(/'(?:[^']|'')*'/g, `''`);
      const calls = [...code.matchAll(/([\w.]+|"(?:[^"]|"")+")\s*\(/g)].map(([, name = '']) => name);
      const bare = calls.filter(
        (name) => !name.includes('.') && !name.startsWith('"') && !NO_FUNCTION.has(name),
      );
      expect(bare.filter((name) => name !== 'operator')).toEqual([]);
      // Only with NULL: otherwise it stands for an operator.
      expect(code).not.toMatch(/distinct|between|\blike\b|\bin\s*\(/);
      const operators = code
        .replaceAll(/operator\(pg_catalog\.\S+?\)/g, '')
        .replaceAll(/count\(\*\)|\w\.\*/g, '')
        .replaceAll(/::pg_catalog\./g, '');
      expect(operators).not.toMatch(/[-+*/<>=~!@#%^&|`?]|::/);
      const relations = [...code.matchAll(/(?:\bfrom|\bjoin|\binto)\s+([\w."]+)/g)].map(
        ([, name = '']) => name,
      );
      expect(relations.filter((name) => !/^(bucardo\.|changed_rows$|new_rows$|lateral$)/.test(name))).toEqual(
        [],
      );
    }
  });

  test('objects of the writer’s own path, of all names that the functions use, are never met', async () => {
    const database = await createDatabase(TABLES);
    await applySource(database.url, [sourceSync({ capture })]);
    const app = await database.app();
    const words = new Set((await bodiesOf(app)).flatMap((body) => body.match(/[a-z_][a-z_0-9]*/g) ?? []));
    await app.script('create schema evil');
    const types = [
      'text',
      'integer',
      'bigint',
      'oid',
      'regclass',
      'date',
      'timestamptz',
      'boolean',
      '"any"',
      'anyelement',
    ];
    for (const word of words) {
      const name = quoteIdentifier(word);
      await app.script(`create table evil.${name} (id int); create temporary table ${name} (id int)`);
      for (const list of [
        '',
        ...types.filter((type) => !type.includes('any')),
        'text, boolean',
        'text, text',
        'anyelement',
      ]) {
        await app.script(`create function evil.${name}(${list}) returns text language plpgsql
          as $$ begin raise 'evil.${word}'; end $$`);
      }
    }
    const pairs = [
      'text, text',
      'integer, integer',
      'bigint, integer',
      'bigint, bigint',
      'name, text',
      'date, date',
      'text[], text[]',
    ];
    await app.script(
      pairs
        .map(
          (pair, i) => `
      create function evil.compare_${i}(${pair}) returns boolean language plpgsql as $$ begin raise 'evil operator'; end $$;
      ${['=', '<>', '>', '<', '>=', '<=']
        .map(
          (operator) => `create operator evil.${operator}
        (leftarg = ${pair.split(', ')[0]}, rightarg = ${pair.split(', ')[1]}, function = evil.compare_${i});`,
        )
        .join('')}`,
        )
        .join(''),
    );
    // A type of a built-in one's name cannot be made before the functions that have it as an argument.
    const taken = ['text', 'int8', 'bool', 'regclass', 'timestamptz', 'oid', 'name'].filter(
      (name) => !words.has(name),
    );
    for (const name of taken) {
      await app.script(`create domain evil.${name} as pg_catalog.int4 check (false)`);
    }
    const heard: string[] = [];
    app.onNotification((channel, payload) => heard.push(`${channel} ${payload}`));
    await app.script(`listen bucardo`);
    const write = `insert into public.t (id) values (1), (2); update public.t set note = 'x'; update public.t set id = 3
        where id operator(pg_catalog.=) 2; delete from public.t; truncate public.t;
      insert into public.n (a, b) values ('a', '2020-01-31'), (null, null); update public.n set note = 'x';
      update public.n set a = 'b'; delete from public.n; truncate public.n`;
    // Plans that were made under one path serve under another.
    for (const path of [
      'evil, pg_temp, pg_catalog',
      'public',
      'pg_temp, evil',
      '"$user"',
      'evil, pg_catalog',
    ]) {
      await app.script(`set search_path = ${path}; set datestyle = 'SQL, DMY'`);
      await app.script(write);
      await app.script(`set search_path = pg_catalog`);
      expect((await deltasOf(app, 'delta_public_t')).toSorted(), path).toEqual([
        '1',
        '1',
        '1',
        '2',
        '2',
        '2',
        '3',
        '3',
      ]);
      expect(new Set(await deltasOf(app, 'delta_public_n')), path).toEqual(
        new Set(['a|2020-01-31', '~|~', 'b|2020-01-31', 'b|~']),
      );
      expect(await app.rows(`select table_name, reason from bucardo.truncation order by 1`), path).toEqual([
        { table_name: 'n', reason: 'truncated' },
        { table_name: 't', reason: 'truncated' },
      ]);
      await app.rows('select 1');
      expect(heard.splice(0), path).toContain('bucardo wake');
      await app.script(`set session_replication_role = replica; delete from bucardo.truncation;
        delete from bucardo.delta_public_t; delete from bucardo.delta_public_n; reset session_replication_role`);
    }
  });

  test('a cast of the table’s owner never runs with the rights of the function’s', async () => {
    const database = await createDatabase(`create table t (id int primary key, note text)`);
    await applySource(database.url, [sourceSync({ capture })]);
    const app = await database.app();
    await app.script(`insert into t values (1); create table ran (who text);
      create type trick as (a int);
      create function trick_text(trick) returns text language plpgsql as
        $$ begin insert into ran values (current_user); return 'x'; end $$;
      create cast (trick as text) with function trick_text(trick) as implicit;
      create cast (trick as varchar) with function trick_text(trick) as implicit;
      alter table t alter id type trick using row(id)::trick`);
    await forgetDeltas(app, 'delta_public_t');
    await app.script(`insert into t values (row(2)::trick); update t set note = 'x'; update t set id = row((id).a + 10)::trick;
      delete from t`);
    expect(new Set(await deltasOf(app, 'delta_public_t'))).toEqual(new Set(['(1)', '(2)', '(11)', '(12)']));
    expect(await app.rows(`select from ran`)).toEqual([]);
  });
});
