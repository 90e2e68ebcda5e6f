/**
 * Names of types that mean the same under any search_path. The catalogs' functions leave out `pg_catalog`, and a schema that
 * stands before it may have a type of the same name. Pure.
 */

/** Types whose names are words of the grammar; they are Postgres's own wherever they stand. */
const WORDS_OF_THE_GRAMMAR: ReadonlySet<string> = new Set(
  'bigint bit boolean character decimal float int integer interval numeric real smallint time timestamp'.split(
    ' ',
  ),
);

/** @param type as `format_type` gives it without a modifier under `search_path = pg_catalog`: `text`, `"char"[]`, `public.mood` */
export function qualifyType(type: string): string {
  const single = /^("[^"]+"|[a-z_][a-z0-9_$]*)(\[\])*$/.exec(type)?.[1];
  return single === undefined || WORDS_OF_THE_GRAMMAR.has(single) ? type : `pg_catalog.${type}`;
}
