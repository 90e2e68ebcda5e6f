/**
 * Which functions of users' own an error came out of, as Postgres's context says (CONTEXT, field `where`). The context also quotes
 * statements and rows, so nothing but the functions' names is taken from it. Pure.
 */

const NAME = String.raw`(?:"[^"]*"|[\p{L}_][\p{L}\p{N}_$]*)`;

/** `PL/pgSQL function public.audit(integer) line 3 at SQL statement`, in whatever language the server speaks. */
const PROCEDURAL = new RegExp(String.raw`^[^"'(]*\bPL/[^"'(]*?(${NAME}(?:\.${NAME})?)\(`, 'u');

/** `SQL function "audit" statement 1` */
const OF_SQL = new RegExp(String.raw`^SQL function (${NAME})`, 'u');

/** Enough to find the place; triggers that fire each other may be many. */
const MOST = 3;

/** Without their arguments, the innermost first; each once. Empty if the error came from no function of a procedural language or SQL. */
export function userFunctionsIn(context: unknown): readonly string[] {
  if (typeof context !== 'string') return [];
  const names = context
    .split('\n')
    .flatMap((line) => (PROCEDURAL.exec(line) ?? OF_SQL.exec(line))?.[1] ?? []);
  return [...new Set(names)].slice(0, MOST);
}
