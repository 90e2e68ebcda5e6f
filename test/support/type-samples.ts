/**
 * A table with a column of every built-in type and several of users' own, filled with the values at the edges of each. What
 * a server of some major does not know is left out for it.
 */

export interface TypeSample {
  readonly type: string;
  /** SQL expressions, not only literals: what no quoting here can spoil. */
  readonly values: readonly string[];
  /** The first major whose servers read all of these. */
  readonly since?: number;
  /** There is no array of it, or arrays are tried elsewhere. */
  readonly noArray?: true;
}

const CONTROL_CHARACTERS = `(select string_agg(chr(n), '' order by n) from generate_series(1, 160) n)`;

const SAMPLES: readonly TypeSample[] = [
  { type: 'smallint', values: ['-32768', '32767', '0'] },
  { type: 'integer', values: ['-2147483648', '2147483647', '0'] },
  { type: 'bigint', values: ['-9223372036854775808', '9223372036854775807', '9007199254740993'] },
  {
    type: 'numeric',
    values: [
      `'NaN'`,
      `0`,
      `'-0.000'`,
      `'1.10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001'`,
      `('1' || repeat('0', 400) || '.' || repeat('7', 400))::numeric`,
      `'1e-16000'`,
      `'-1e13000'`,
    ],
  },
  { type: 'numeric', values: [`'infinity'`, `'-infinity'`], since: 14 },
  { type: 'numeric(12,4)', values: [`1.5`, `-99999999.9999`, `'NaN'`] },
  {
    type: 'real',
    values: [
      `'-0'`,
      `'NaN'`,
      `'infinity'`,
      `'-infinity'`,
      `'1e-45'`,
      `'3.4028235e38'`,
      `0.1`,
      `'1.17549435e-38'`,
    ],
  },
  {
    type: 'double precision',
    values: [
      `'-0'`,
      `'NaN'`,
      `'infinity'`,
      `'-infinity'`,
      `'5e-324'`,
      `'1.7976931348623157e308'`,
      `0.1`,
      `0.30000000000000004`,
      `'2.2250738585072014e-308'`,
    ],
  },
  { type: 'money', values: [`'-92233720368547758.08'`, `'92233720368547758.07'`, `'1234567.89'`] },
  {
    type: 'date',
    values: [`'4713-01-01 BC'`, `'5874897-12-31'`, `'infinity'`, `'-infinity'`, `'2024-02-29'`],
  },
  {
    type: 'timestamp',
    values: [
      `'4713-01-01 BC'`,
      `'294276-12-31 23:59:59.999999'`,
      `'infinity'`,
      `'-infinity'`,
      `'2024-01-01 00:00:00.000001'`,
    ],
  },
  {
    type: 'timestamptz',
    values: [
      `'4713-01-01 BC'`,
      `'294276-12-31 23:59:59.999999+00'`,
      `'infinity'`,
      `'-infinity'`,
      `'1900-01-01 12:34:56.7-00:17:30'`,
    ],
  },
  { type: 'timestamptz(0)', values: [`'2024-06-01 12:00:00+02'`] },
  { type: 'time', values: [`'00:00:00.000001'`, `'24:00'`] },
  { type: 'timetz', values: [`'23:59:59.999999+15:59'`, `'00:00-15:59:59'`, `'24:00+00'`] },
  {
    type: 'interval',
    values: [
      `'178000000 years 11 mons -1 days +1.000001 seconds'`,
      `'-178000000 years'`,
      `'1 mon -1 day 25:00:00.5'`,
      `'-1 year +2 mons -3 days 04:05:06'`,
      `'0'`,
    ],
  },
  { type: 'interval', values: [`'infinity'`, `'-infinity'`], since: 17 },
  { type: 'boolean', values: ['true', 'false'] },
  { type: 'char(5)', values: [`'ab'`, `''`, `'    '`, `'abcde'`, `E'\\t\\n'`] },
  { type: 'varchar(200)', values: [`'  trailing  '`, `''`, `repeat('ü', 200)`] },
  { type: 'varchar', values: [`'\\N'`, `'NULL'`] },
  {
    type: 'text',
    values: [
      CONTROL_CHARACTERS,
      `''`,
      `'\\N'`,
      `'\\.'`,
      `E'\\\\.\\n\\\\.\\n'`,
      `E'tab\\tnewline\\nreturn\\rboth\\r\\nbackslash\\\\ \\\\n \\\\t end\\\\'`,
      `E'\\b\\f\\v'`,
      `'{"a",b}'`,
      `'NULL'`,
      `' '`,
      `U&'\\00e9\\0065\\0301\\4e2d\\+01f600\\+10ffff\\feff\\200d\\2028'`,
      `repeat('long ', 5000)`,
    ],
  },
  {
    type: 'bytea',
    values: [`'\\x'`, `'\\x00ff00'`, `decode(repeat('00', 3000), 'hex')`, `'\\x5c4e5c2e0a0d09'`],
  },
  { type: 'bit(3)', values: [`B'101'`, `B'000'`] },
  { type: 'bit varying', values: [`B''`, `B'0000000001'`, `repeat('10', 100)::varbit`] },
  { type: 'bit varying(9)', values: [`B'110'`] },
  {
    type: 'uuid',
    values: [`'00000000-0000-0000-0000-000000000000'`, `'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'`],
  },
  { type: 'inet', values: [`'10.1.2.3'`, `'10.1.2.3/8'`, `'::1'`, `'2001:db8::ffff/64'`, `'0.0.0.0/0'`] },
  { type: 'cidr', values: [`'10.0.0.0/8'`, `'2001:db8::/32'`, `'1.2.3.4/32'`] },
  { type: 'macaddr', values: [`'08:00:2b:01:02:03'`] },
  { type: 'macaddr8', values: [`'08:00:2b:01:02:03:04:05'`] },
  {
    type: 'json',
    values: [
      `'{"b": 1, "a":2,  "b" :3}'`,
      `'"\\u0041\\n\\\\ \\" \\u00e9"'`,
      `' [1,  2.50, 1e400 ] '`,
      `'null'`,
      `E'{"line":\\n\\t"\\\\t"}'`,
    ],
  },
  {
    type: 'jsonb',
    values: [
      `'{"b": 1, "a":2, "b":3}'`,
      `'"\\u0041\\n\\\\ \\""'`,
      `'[1.0000, 12345678901234567890.10, -0]'`,
      `'null'`,
      `'{}'`,
    ],
  },
  { type: 'jsonpath', values: [`'$.a[*] ? (@.b == "x\\ty").**{2 to last}'`] },
  {
    type: 'xml',
    values: [`'<a b="c">&lt; &amp; \n</a>'`, `'content <b/> only'`, `''`, `'<?xml version="1.0"?><r>é</r>'`],
  },
  { type: 'tsvector', values: [`'a:1A ''b \\\\ c'':2B,16383 d'''''`, `''`] },
  { type: 'tsquery', values: [`'a:*A & !(b | ''c d'') <3> e'`, `''`] },
  { type: 'point', values: [`'(-0,1e-300)'`, `'(NaN,infinity)'`] },
  { type: 'line', values: [`'{1,-1,0.1}'`] },
  { type: 'lseg', values: [`'[(0,0),(1.1,2.2)]'`] },
  { type: 'box', values: [`'(1,2),(-3,-4)'`] },
  { type: 'path', values: [`'[(0,0),(1,1),(2,0)]'`, `'((0,0),(1,1))'`] },
  { type: 'polygon', values: [`'((0,0),(1,1),(2,0))'`] },
  { type: 'circle', values: [`'<(1,-2),0>'`] },
  { type: 'pg_lsn', values: [`'FFFFFFFF/FFFFFFFF'`, `'0/0'`] },
  { type: 'txid_snapshot', values: [`'10:20:10,14,15'`] },
  { type: 'xid', values: [`'4294967295'`] },
  { type: 'xid8', values: [`'18446744073709551615'`], since: 13 },
  { type: 'pg_snapshot', values: [`'10:20:10,14,15'`], since: 13 },
  { type: 'cid', values: [`'1'`] },
  { type: 'tid', values: [`'(4294967294,65535)'`] },
  { type: 'oid', values: ['4294967295', '0'] },
  { type: 'regclass', values: [`'pg_class'`, `'"odd ""schema".things'`] },
  { type: 'regtype', values: [`'integer'`, `'text[]'`] },
  { type: 'regprocedure', values: [`'pg_catalog.abs(integer)'`] },
  { type: 'name', values: [`repeat('n', 63)`, `'a "b"'`] },
  { type: '"char"', values: [`'x'`, `''`, `E'\\t'`, `'\\'`] },
  {
    type: 'int4range',
    values: [`'empty'`, `'(,)'`, `'[1,5)'`, `'(,7]'`],
  },
  { type: 'int8range', values: [`'[9007199254740993,)'`] },
  { type: 'numrange', values: [`'[1.10,1.100]'`, `'(,0)'`, `'[NaN,NaN]'`] },
  { type: 'tsrange', values: [`'[-infinity,infinity]'`, `'["2024-01-01 00:00",)'`] },
  { type: 'tstzrange', values: [`'["2024-01-01 00:00+02","2024-01-02 00:00+02")'`] },
  { type: 'daterange', values: [`'[infinity,]'`, `'[2024-01-01,2024-12-31]'`] },
  { type: 'int4multirange', values: [`'{}'`, `'{[1,3),[5,7),(9,)}'`], since: 14 },
  { type: 'tstzmultirange', values: [`'{["2024-01-01 00:00+00",infinity]}'`], since: 14 },
  { type: 'mood', values: [`'so so'`, `'"quoted",'`, `'NULL'`] },
  { type: 'positive', values: ['1', 'null'] },
  { type: 'short_list', values: [`array['a', null, 'b,"c"']`, `'{}'`], noArray: true },
  { type: 'note', values: [`'required'`], noArray: true },
  {
    type: 'pair',
    values: [`row(1, E'a,"b"\\\\ (c)\\n')::pair`, `row(null, '')::pair`, `row(null, null)::pair`],
  },
  {
    type: 'nested',
    values: [
      `row(row(1, 'NULL')::pair, array['so so', null]::mood[], array[row(2, null)::pair, null])::nested`,
    ],
  },
  { type: 'odd "type', values: [`'[1.5,2.5)'`], noArray: true },
  { type: 'hstore', values: [`'a=>1, "b c"=>NULL, "d\\"e"=>"=>"'`, `''`] },
  { type: 'citext', values: [`'MiXed'`, `''`] },
  { type: 'ltree', values: [`'Top.Science.Astronomy'`, `''`] },
  { type: 'cube', values: [`'(1,2.5),(3,4)'`] },
  { type: 'int2vector', values: [`'1 2 3'`, `''`], noArray: true },
  { type: 'oidvector', values: [`'1 2'`], noArray: true },
];

/** Arrays that no list of elements gives. */
const ARRAYS: readonly TypeSample[] = [
  {
    type: 'integer[]',
    values: [`'{}'`, `'{NULL}'`, `'[0:2]={1,NULL,3}'`, `'[-1:0][5:6]={{1,2},{3,4}}'`, `'{{{1},{2}}}'`],
  },
  {
    type: 'text[]',
    values: [
      `array['', ' ', 'NULL', 'null', '{}', 'a,b', '"', E'\\\\', E'\\n\\t', E'\\\\N', null]`,
      `'[2:3][0:0]={{a},{"b c"}}'`,
    ],
  },
  { type: 'pair[]', values: [`array[row(1, E'"\\\\,(')::pair, null, row(null, null)::pair]`] },
  { type: 'box[]', values: [`'{(1,1),(0,0);(2,2),(1,1)}'`] },
];

const TYPES = `
  create schema "odd ""schema";
  create extension hstore; create extension citext; create extension ltree; create extension cube;
  create table "odd ""schema".things (a int);
  create type mood as enum ('so so', '"quoted",', 'NULL');
  create domain positive as integer check (value > 0);
  create domain short_list as varchar(10)[];
  create domain note as text not null default '';
  create type pair as (number int, word varchar(20));
  create type nested as (one pair, moods mood[], many pair[]);
  create type "odd ""type" as range (subtype = float8)`;

interface SampleColumn extends TypeSample {
  readonly name: string;
}

/** The columns for a server of this major; names are by position. */
export function sampleColumns(major: number): readonly SampleColumn[] {
  const known = [...SAMPLES, ...ARRAYS].filter(({ since = 0 }) => major >= since);
  const columns = known.map((sample, index) => ({ ...sample, name: `v${index}` }));
  const arrays = known
    .filter(({ noArray, type }) => noArray !== true && !type.endsWith('[]'))
    .map(({ type, values, since = 0 }, index) => ({
      name: `a${index}`,
      type: `${type}[]`,
      since,
      values: [`array[${values.map((value) => `(${value})::${type}`).join(', ')}, null]`],
    }));
  return [...columns, ...arrays];
}

/** The types and a table `samples (id bigint primary key, pad text, …)`, empty. */
export function sampleSchema(major: number): string {
  const definitions = sampleColumns(major).map(({ name, type }) => `${name} ${quoteOdd(type)}`);
  return `${TYPES}; create table samples (id bigint primary key, pad text, ${definitions.join(', ')})`;
}

/** How many rows have all the values. */
export function sampleRows(major: number): number {
  return Math.max(...sampleColumns(major).map(({ values }) => values.length)) + 1;
}

/** Inserts one row after another, each with every column's next value; the last row has only NULLs where it may. */
export function insertSamples(major: number, firstId = 1): string {
  const columns = sampleColumns(major);
  const rows = Array.from({ length: sampleRows(major) }, (_, row) => {
    const list = columns.map(({ type, values }) => {
      const value = values[row] ?? (type === 'note' ? `''` : 'null');
      return `(${value})::${quoteOdd(type)}`;
    });
    return `(${firstId + row}, null, ${list.join(', ')})`;
  });
  return rows.map((row) => `insert into samples values ${row}`).join(';\n');
}

/** More rows of the same values, under new keys. */
export function multiplySamples(major: number, times: number, firstId: number, pad = 'null'): string {
  const rows = sampleRows(major);
  const names = sampleColumns(major).map(({ name }) => name);
  return `insert into samples (id, pad, ${names.join(', ')})
    select ${firstId} + (n - 1) * ${rows} + s.id, ${pad}, ${names.map((name) => `s.${name}`).join(', ')}
    from generate_series(1, ${times}) n cross join (select * from samples where id <= ${rows}) s`;
}

/** The types, and for each column above a table of its own: `only_NAME (id integer primary key, value …)`, empty. */
export function singleSampleSchema(major: number): string {
  const tables = sampleColumns(major).map(
    ({ name, type }) => `create table only_${name} (id integer primary key, value ${quoteOdd(type)})`,
  );
  return [TYPES, ...tables].join(';\n');
}

/** Fills these tables, each with its column's values. */
export function insertSingleSamples(major: number): string {
  return sampleColumns(major)
    .map(({ name, type, values }) => {
      const rows = values.map((value, index) => `(${index}, (${value})::${quoteOdd(type)})`);
      return `insert into only_${name} values ${rows.join(', ')}`;
    })
    .join(';\n');
}

function quoteOdd(type: string): string {
  return type.startsWith('odd ') ? `"${type.replaceAll('"', '""')}"` : type;
}
