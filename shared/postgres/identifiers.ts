/**
 * Names in SQL. The only place that quotes identifiers and literals, so that no other module builds SQL from raw text.
 */

/** A relation by its catalog names, unquoted. */
export interface RelationName {
  readonly schema: string;
  readonly table: string;
}

const KEYWORD_SAFE = /^[a-z_][a-z0-9_$]*$/;

/** An identifier, always in double quotes: right for every name, keyword or not. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."table"` */
export function quoteRelation({ schema, table }: RelationName): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

/** A string literal for the few statements that take no parameters (COPY, DDL). Safe whatever standard_conforming_strings says. */
export function quoteLiteral(value: string): string {
  const doubled = value.replaceAll("'", "''");
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}

/** `schema.table` for people, logs and keys of maps: quotes only where a plain name would be ambiguous. */
export function displayRelation({ schema, table }: RelationName): string {
  return `${displayIdentifier(schema)}.${displayIdentifier(table)}`;
}

function displayIdentifier(name: string): string {
  return KEYWORD_SAFE.test(name) ? name : quoteIdentifier(name);
}

/** Splits `schema.table` as a person writes it; either part may be in double quotes. Undefined if it is no such name. */
export function parseRelation(text: string): RelationName | undefined {
  const match = /^("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^"]+)$/.exec(text);
  const [, schema, table] = match ?? [];
  if (schema === undefined || table === undefined) return undefined;
  return { schema: unquote(schema), table: unquote(table) };
}

function unquote(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
}
