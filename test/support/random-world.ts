/**
 * What a random run does: tables, transactions and mishaps, all drawn from a seed before anything is started, so that the
 * same seed does the same things. Applications' transactions may fail; that is part of it.
 */
import type { Random } from './random.ts';

export const RANDOM_TABLES: readonly string[] = ['customer', 'invoice', 'position', 'tag', 'loose'];

/** Foreign keys, unique values besides the keys, composite and NULL-able keys, rows that refer to their own table. */
export const RANDOM_SCHEMA = `
  create table customer (id int primary key, email text unique, referrer int references customer, note text);
  create table invoice (number text primary key, customer int not null references customer on delete cascade, total numeric);
  create table position (invoice text references invoice on delete cascade on update cascade, line int, what text,
    primary key (invoice, line));
  create table tag (customer int references customer on delete set null, word text not null, n int);
  create unique index on tag (customer, word);
  create table loose (id uuid primary key, slot int unique, body jsonb)`;

/** What is there before the source is captured. */
export const RANDOM_ROWS = `
  insert into customer select n, 'mail ' || n, nullif(n / 2, 0), 'there' from generate_series(1, 20) n;
  insert into invoice select 'R ' || n, 1 + n % 20, n from generate_series(1, 30) n;
  insert into position select 'R ' || n, line, 'red' from generate_series(1, 30) n, generate_series(0, 2) line;
  insert into tag select n, 'red 1', n from generate_series(1, 10) n;
  insert into tag select null, 'none', n from generate_series(1, 10) n;
  insert into loose select md5(n::text)::uuid, n, '{"of": "red"}' from generate_series(1, 15) n`;

export type Mishap =
  | { readonly kind: 'cut connections' }
  | { readonly kind: 'crash target'; readonly target: number }
  | { readonly kind: 'crash source' }
  | { readonly kind: 'restart fleet' }
  | { readonly kind: 'kick'; readonly target: number }
  | { readonly kind: 'sweep' };

export interface RandomRun {
  /** Statements of each session, one after the other; `begin` to `commit` are one transaction. */
  readonly sessions: readonly (readonly string[])[];
  /** What happens when so many statements have been run in all. */
  readonly mishaps: readonly { readonly afterStatements: number; readonly mishap: Mishap }[];
  readonly batchRows: number;
}

const SESSIONS = 4;
const TRANSACTIONS = 60;
const MISHAPS = 7;

export function planRandomRun(random: Random): RandomRun {
  const sessions = Array.from({ length: SESSIONS }, () =>
    Array.from({ length: TRANSACTIONS }, () => randomTransaction(random)).flat(),
  );
  const statements = sessions.flat().length;
  return {
    sessions,
    batchRows: random.pick([1, 3, 10, 100, 100_000]),
    mishaps: Array.from({ length: MISHAPS }, () => ({
      afterStatements: random.below(statements),
      mishap: mishap(random),
    })).toSorted((a, b) => a.afterStatements - b.afterStatements),
  };
}

function mishap(random: Random): Mishap {
  return random.pick<Mishap>([
    { kind: 'cut connections' },
    { kind: 'cut connections' },
    { kind: 'crash target', target: random.below(2) },
    { kind: 'crash source' },
    { kind: 'restart fleet' },
    { kind: 'kick', target: random.below(2) },
    { kind: 'sweep' },
  ]);
}

/** Statements of one transaction, which may fail. */
export function randomTransaction(random: Random): readonly string[] {
  if (random.oneIn(3)) return [change(random)];
  const body: string[] = [];
  for (let n = 1 + random.below(5); n > 0; n -= 1) {
    if (random.oneIn(4))
      body.push(
        'savepoint s',
        change(random),
        random.oneIn(2) ? 'rollback to savepoint s' : 'release savepoint s',
      );
    else body.push(change(random));
  }
  const begin = random.oneIn(4) ? 'begin isolation level repeatable read' : 'begin';
  return [begin, ...body, random.oneIn(6) ? 'rollback' : 'commit'];
}

function change(random: Random): string {
  const id = 1 + random.below(40);
  const other = 1 + random.below(40);
  const word = random.pick(['red', 'green', 'blue']);
  return random.pick([
    `insert into customer values (${id}, 'mail ${other}', nullif(${other}, ${id}), 'new') on conflict (id) do update set email = excluded.email`,
    `insert into customer select n, 'mail ' || n from generate_series(${id}, ${id + 8}) n on conflict do nothing`,
    `update customer set email = 'mail ${other}' where id = ${id}`,
    `update customer set note = note || '${word}' where id between ${id} and ${id + 6}`,
    `update customer set email = case id when ${id} then 'swap ${other}' else email end where id in (${id}, ${other})`,
    `delete from customer where id = ${id}`,
    `insert into invoice values ('R ${other}', ${id}, ${other}.50) on conflict (number) do update set customer = excluded.customer`,
    `update invoice set number = 'R ' || ${other} where number = 'R ${id}'`,
    `delete from invoice where number = 'R ${id}'`,
    `insert into position select number, ${other % 5}, '${word}' from invoice where number like 'R ${id % 10}%' on conflict do nothing`,
    `update position set line = line + 1 where line = ${5 + (other % 3)}`,
    `delete from position where what = '${word}' and line = ${other % 5}`,
    `insert into tag values (${random.oneIn(3) ? 'null' : id}, '${word} ${other % 4}', ${other})`,
    `update tag set customer = null where customer = ${id}`,
    `update tag set n = ${other} where word = '${word} ${id % 4}'`,
    `delete from tag where n = ${other}`,
    `insert into loose values (md5('${id}')::uuid, ${other}, '{"of": "${word}"}') on conflict (id) do update set slot = excluded.slot`,
    `update loose set slot = slot + 100 where slot < 20`,
    `update loose set slot = slot - 100 where slot between 100 and 120`,
    `update loose set id = md5('${other}')::uuid where id = md5('${id}')::uuid`,
    `delete from loose where slot % 7 = ${other % 7}`,
  ]);
}
