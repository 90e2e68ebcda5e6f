/**
 * Keys are captured as text in the application's session, and read back in ours. The text of most types is always the same; that
 * of others follows settings of the session, which the trigger function of such a key therefore pins. Each takes
 * time in every statement, so the usual types pin none. Pure.
 */

/** Name and value. The values are those under which our sessions read. */
type Setting = readonly [name: string, value: string];

const DATE_STYLE: Setting = ['datestyle', 'ISO, YMD'];
const INTERVAL_STYLE: Setting = ['intervalstyle', 'postgres'];
const FLOAT_DIGITS: Setting = ['extra_float_digits', '1'];
const BYTEA_OUTPUT: Setting = ['bytea_output', 'hex'];
const ALL: readonly Setting[] = [
  DATE_STYLE,
  INTERVAL_STYLE,
  FLOAT_DIGITS,
  BYTEA_OUTPUT,
  ['timezone', 'UTC'],
  ['lc_monetary', 'C'],
];

const NONE: readonly Setting[] = [];

/** Types as the catalog shows them. A time with a zone has its offset in its text. */
const BY_TYPE: ReadonlyMap<string, readonly Setting[]> = new Map([
  ...[
    'smallint',
    'integer',
    'bigint',
    'numeric',
    'text',
    'character varying',
    'bpchar',
    'uuid',
    'boolean',
    'name',
    'oid',
    '"char"',
    'time without time zone',
    'time with time zone',
    'inet',
    'cidr',
    'macaddr',
    'macaddr8',
    'bit',
    'bit varying',
    '"bit"',
    'jsonb',
    'pg_lsn',
    'int4range',
    'int8range',
    'numrange',
  ].map((type): readonly [string, readonly Setting[]] => [type, NONE]),
  ['date', [DATE_STYLE]],
  ['timestamp without time zone', [DATE_STYLE]],
  ['timestamp with time zone', [DATE_STYLE]],
  ['daterange', [DATE_STYLE]],
  ['tsrange', [DATE_STYLE]],
  ['tstzrange', [DATE_STYLE]],
  ['interval', [INTERVAL_STYLE]],
  ['real', [FLOAT_DIGITS]],
  ['double precision', [FLOAT_DIGITS]],
  ['bytea', [BYTEA_OUTPUT]],
]);

/** What the text of values of these types follows; everything for a type that is not known. */
export function outputSettings(types: readonly string[]): readonly Setting[] {
  const settings = types.flatMap((type) => BY_TYPE.get(type.replace(/\[\]$/, '')) ?? ALL);
  return [...new Set(settings)];
}
