import { expect, test } from 'vitest';
import { alwaysFits } from '../../shared/check/column-types.ts';

const FITS = `
  integer -> integer
  smallint -> bigint
  integer -> numeric
  integer -> numeric(10,0)
  bigint -> numeric(21,2)
  integer -> double precision
  smallint -> real
  real -> double precision
  numeric(10,2) -> numeric
  numeric(10,2) -> numeric(12,4)
  character varying(10) -> character varying(20)
  character varying(10) -> text
  character varying -> text
  text -> character varying
  character(5) -> character varying(5)
  bit -> bit varying(1)
  bit(8) -> bit varying(8)
  bit varying(8) -> bit varying
  date -> timestamp without time zone
  timestamp(3) without time zone -> timestamp without time zone
  timestamp(3) with time zone -> timestamp(6) with time zone
  time(0) without time zone -> time without time zone
  cidr -> inet
  jsonb -> json
  integer[] -> bigint[]
  character varying(3)[] -> text[]
  public.mood -> public.mood`;

const MAY_NOT_FIT = `
  bigint -> integer
  bigint -> double precision
  integer -> real
  bigint -> numeric(20,2)
  integer -> numeric(12,4)
  double precision -> real
  numeric -> bigint
  numeric -> numeric(10,2)
  numeric(10,2) -> numeric(10,4)
  numeric(10,4) -> numeric(10,2)
  character varying(20) -> character varying(10)
  character varying -> character varying(20)
  text -> character varying(20)
  text -> character(20)
  character varying(5) -> character(5)
  text -> public.citext
  bit(8) -> bit(4)
  bit varying -> bit varying(8)
  timestamp with time zone -> timestamp without time zone
  timestamp without time zone -> timestamp with time zone
  timestamp without time zone -> timestamp(3) without time zone
  timestamp without time zone -> date
  date -> timestamp with time zone
  inet -> cidr
  json -> jsonb
  integer -> integer[]
  bigint[] -> integer[]
  text -> integer
  uuid -> bytea`;

function pairs(text: string): readonly (readonly [string, string])[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [from = '', to = ''] = line.trim().split(' -> ');
      return [from, to] as const;
    });
}

test.each(pairs(FITS))('every value of %s fits into %s', (from, to) => {
  expect(alwaysFits(from, to)).toBe(true);
});

test.each(pairs(MAY_NOT_FIT))('not every value of %s fits into %s', (from, to) => {
  expect(alwaysFits(from, to)).toBe(false);
});
