import { expect, test } from 'vitest';
import { fromDriverError } from '../../shared/postgres/errors.ts';
import { qualifyType } from '../../shared/postgres/type-names.ts';
import { userFunctionsIn } from '../../shared/postgres/user-functions.ts';

const secret = 'hunter2';

test.each([
  ['PL/pgSQL function audit() line 3 at SQL statement', ['audit']],
  ['PL/pgSQL function public.audit(integer,text) line 3 at RAISE', ['public.audit']],
  ['PL/pgSQL-Funktion "Prüfung"."Ein Name"(integer) Zeile 3 bei SQL-Anweisung', ['"Prüfung"."Ein Name"']],
  ['fonction PL/pgSQL audit(integer), ligne 3 à instruction SQL', ['audit']],
  ['PL/Perl function "audit"', []],
  ['SQL function "audit" statement 1', ['"audit"']],
  [`PL/pgSQL function inline_code_block line 1 at RAISE`, []],
  [
    `SQL statement "insert into log values ('PL/pgSQL function ${secret}(')"\nPL/pgSQL function f() line 2 at EXECUTE`,
    ['f'],
  ],
  [`COPY item, line 1, column note: "PL/pgSQL function ${secret}()"`, []],
  ['PL/pgSQL function f() line 1\nPL/pgSQL function g() line 2\nPL/pgSQL function f() line 1', ['f', 'g']],
  [undefined, []],
])('of the context %s the functions are %j', (context, names) => {
  expect(userFunctionsIn(context)).toEqual(names);
});

test('an error inside a user’s function is told apart from a missing table of ours, and keeps how far it reaches', () => {
  const where = 'PL/pgSQL function audit() line 3 at SQL statement';
  const of = (code: string, context?: string) =>
    fromDriverError({ code, message: 'relation "x" does not exist', where: context }, { database: 'reports' })
      .code;
  expect(of('42P01')).toBe('BUC-TABLE-MISSING');
  expect(of('42P01', where)).toBe('BUC-USER-CODE');
  expect(of('42501', where)).toBe('BUC-USER-CODE');
  expect(of('23505', where)).toBe('BUC-ROW-REFUSED');
  expect(of('40P01', where)).toBe('BUC-DB-LOCKED');
});

test.each([
  ['text', 'pg_catalog.text'],
  ['uuid[]', 'pg_catalog.uuid[]'],
  ['"char"', 'pg_catalog."char"'],
  ['bpchar', 'pg_catalog.bpchar'],
  ['integer', 'integer'],
  ['bigint[]', 'bigint[]'],
  ['character varying', 'character varying'],
  ['timestamp with time zone[]', 'timestamp with time zone[]'],
  ['public.mood', 'public.mood'],
  ['"My Schema"."mood"[]', '"My Schema"."mood"[]'],
])('the type %s is %s under any search_path', (type, qualified) => {
  expect(qualifyType(type)).toBe(qualified);
});
