/** Which of Postgres's messages people see: limits and damage are named, values never are. */
import { expect, test } from 'vitest';
import { fromDriverError } from '../../shared/postgres/errors.ts';

const SECRET = 'hunter2';

function detail(given: Readonly<Record<string, string>>): string {
  return fromDriverError(given, { database: 'reports' }).detail ?? '';
}

test.each([
  ['54000', 'row is too big: size 30072, maximum size 8160'],
  ['54000', 'index row size 3216 exceeds btree version 4 maximum 2704 for index "orders_note_idx"'],
  ['54000', 'string is too long for tsvector (1114103 bytes, max 1048575 bytes)'],
  ['54001', 'stack depth limit exceeded'],
  ['54011', 'tables can have at most 1600 columns'],
  ['XX000', 'invalid memory alloc request size 1258291203'],
  ['XX001', 'missing chunk number 0 for toast value 16423 in pg_toast_16418'],
  ['55P03', 'canceling statement due to lock timeout'],
])('an error with SQLSTATE %s keeps its message: %s', (code, message) => {
  expect(detail({ code, message })).toBe(`${message}, SQLSTATE ${code}`);
});

test.each([
  ['54000', `word is too long in tsquery: "${SECRET}"`],
  ['54000', `Wort ist zu lang in tsquery: „${SECRET}“`],
  ['54000', `mot trop long dans tsquery : « ${SECRET} »`],
  ['XX000', `unexpected '${SECRET}' and "${SECRET} without an end`],
  ['22P02', `invalid input syntax for type integer: "${SECRET}"`],
  ['23505', `duplicate key value ${SECRET}`],
])('an error with SQLSTATE %s shows nothing of a value: %s', (code, message) => {
  expect(detail({ code, message })).not.toContain(SECRET);
});

test.each([
  ['P0001', 'pl_exec.c', 'exec_stmt_raise'],
  ['40001', 'pl_exec.c', 'exec_stmt_raise'],
  ['42501', 'pl_exec.c', 'exec_stmt_raise'],
  ['54000', 'pl_exec.c', 'exec_stmt_raise'],
  ['XX000', 'pl_exec.c', 'exec_stmt_assert'],
  ['55000', 'plpy_elog.c', 'PLy_elog_impl'],
  ['57014', 'plperl.c', 'plperl_call_perl_func'],
])('a message that a user’s function raised with SQLSTATE %s is not shown', (code, file, routine) => {
  expect(detail({ code, message: `the row ${SECRET}`, file, routine })).not.toContain(SECRET);
});
