/**
 * What somebody who migrates a source does while applications write and lanes run: definitions change, tables are rewritten,
 * swapped, emptied and locked, triggers are switched off. Drawn from a seed, all of it repeatable in any order.
 *
 * Each migration keeps the order that the documents ask for: what a target needs comes first, what it needs no more goes last.
 */
import type { Random } from './random.ts';

export interface MigrationStep {
  readonly at: 'source' | 'targets';
  /** Statements, each run on its own and tried again as long as its lock is not to be had. */
  readonly sql: readonly string[];
}

export interface Migration {
  readonly name: string;
  readonly steps: readonly MigrationStep[];
  /** Capture has to be brought up to date afterwards, as the documents say. */
  readonly apply: boolean;
}

/** A partitioned table beside those of the random world. */
export const MIGRATED_SCHEMA = `
  create table event (id int, day int, note text, primary key (id, day)) partition by range (day);
  create table event_0 partition of event for values from (0) to (10);
  create table event_1 partition of event for values from (10) to (20)`;

export const MIGRATED_TABLES: readonly string[] = ['event'];

/** What an application does with the partitioned table. */
export function eventChange(random: Random): string {
  const id = 1 + random.below(30);
  const day = random.below(20);
  return random.pick([
    `insert into event values (${id}, ${day}, 'red') on conflict (id, day) do update set note = event.note || 'r'`,
    `update event set day = ${day} where id = ${id} and not exists (select from event e where e.id = ${id} and e.day = ${day})`,
    `update event_0 set note = 'by name' where id = ${id}`,
    `delete from event where id = ${id}`,
  ]);
}

/** @param n tells the migrations of one run apart: names of new things carry it */
export function migration(random: Random, n: number): Migration {
  return random.pick(MIGRATIONS)(n);
}

function atSource(name: string, ...sql: readonly string[]): Migration {
  return { name, steps: [{ at: 'source', sql }], apply: false };
}

const TYPES = ['text', 'varchar', 'varchar(200)'] as const;

const MIGRATIONS: readonly ((n: number) => Migration)[] = [
  (n) =>
    atSource(
      'another type',
      `alter table customer alter column note type ${TYPES[n % TYPES.length]} using note::text`,
      `alter table position alter column what type ${TYPES[n % TYPES.length]} using what::text`,
    ),
  () => ({
    name: 'another scale',
    steps: [
      { at: 'targets', sql: [`alter table invoice alter column total type numeric(20, 4)`] },
      { at: 'source', sql: [`alter table invoice alter column total type numeric(20, 4)`] },
      { at: 'source', sql: [`alter table invoice alter column total type numeric(20, 6)`] },
      { at: 'targets', sql: [`alter table invoice alter column total type numeric(20, 6)`] },
      // A value that came between the two has the scale of then.
      { at: 'source', sql: [`update invoice set total = total`] },
    ],
    apply: false,
  }),
  (n) => ({
    name: 'a new column with a default',
    steps: [
      { at: 'targets', sql: [`alter table loose add column extra_${n} text default 'new'`] },
      { at: 'source', sql: [`alter table loose add column extra_${n} text default 'new'`] },
    ],
    apply: false,
  }),
  (n) => ({
    name: 'a new column that rewrites the table',
    steps: [
      { at: 'targets', sql: [`alter table tag add column extra_${n} text`] },
      {
        at: 'source',
        sql: [
          `alter table tag add column extra_${n} text default clock_timestamp()::text`,
          // Values that a default gave to rows which were there are no change of the rows.
          `update tag set n = n`,
        ],
      },
    ],
    apply: false,
  }),
  (n) => ({
    name: 'a column that comes and goes',
    steps: [
      { at: 'targets', sql: [`alter table customer add column brief_${n} int`] },
      { at: 'source', sql: [`alter table customer add column brief_${n} int`] },
      { at: 'source', sql: [`alter table customer drop column brief_${n}`] },
      { at: 'targets', sql: [`alter table customer drop column brief_${n}`] },
    ],
    apply: false,
  }),
  () => ({
    name: 'a column that is renamed, and renamed back',
    steps: [
      { at: 'source', sql: [`alter table position rename column what to which`] },
      { at: 'targets', sql: [`alter table position rename column what to which`] },
      { at: 'source', sql: [`alter table position rename column which to what`] },
      { at: 'targets', sql: [`alter table position rename column which to what`] },
    ],
    apply: false,
  }),
  () => atSource('a truncation', `truncate tag`),
  () => atSource('a truncation of a partition', `truncate event_1`),
  () => atSource('a rewriting vacuum', `vacuum full customer`, `vacuum full event_0`, `vacuum full loose`),
  () => atSource('a cluster', `cluster position using position_pkey`),
  () => atSource('a change of persistence', `alter table tag set unlogged`, `alter table tag set logged`),
  () =>
    atSource(
      'a new index for the key',
      `alter table loose drop constraint loose_pkey, add constraint loose_pkey primary key (id)`,
    ),
  (n) => ({
    name: 'a table that is swapped for a new one',
    steps: [
      {
        at: 'source',
        sql: [
          `do $$ begin
             lock table loose in access exclusive mode;
             create table loose_${n} (like loose including all);
             insert into loose_${n} select * from loose;
             insert into loose_${n} (id) values (md5('swapped ${n}')::uuid) on conflict do nothing;
             drop table loose;
             alter table loose_${n} rename to loose;
             alter index loose_${n}_pkey rename to loose_pkey;
           end $$`,
        ],
      },
    ],
    apply: true,
  }),
  (n) => ({
    name: 'a partition that is attached with rows',
    steps: [
      {
        at: 'targets',
        sql: [`create table event_x${n} partition of event for values from (${100 + n}) to (${101 + n})`],
      },
      {
        at: 'source',
        sql: [
          `create table event_x${n} (like event including all)`,
          `insert into event_x${n} select i, ${100 + n}, 'attached' from generate_series(1, 5) i`,
          `alter table event attach partition event_x${n} for values from (${100 + n}) to (${101 + n})`,
        ],
      },
    ],
    apply: true,
  }),
  (n) => ({
    name: 'a partition that is detached',
    steps: [
      {
        at: 'targets',
        sql: [`create table event_y${n} partition of event for values from (${200 + n}) to (${201 + n})`],
      },
      {
        at: 'source',
        sql: [
          `create table event_y${n} partition of event for values from (${200 + n}) to (${201 + n})`,
          `insert into event values (1, ${200 + n}, 'to be detached')`,
        ],
      },
      { at: 'source', sql: [`alter table event detach partition event_y${n}`, `drop table event_y${n}`] },
    ],
    apply: true,
  }),
  () => ({
    name: 'triggers that are switched off while rows change',
    steps: [
      {
        at: 'source',
        sql: [
          `alter table customer disable trigger user`,
          `update customer set note = 'unseen' where id between 5 and 15`,
        ],
      },
    ],
    apply: true,
  }),
  (n) => ({
    name: 'a trigger that is dropped',
    steps: [
      {
        at: 'source',
        sql: [
          `drop trigger if exists bucardo_capture_update on invoice`,
          `update invoice set total = ${n} where number like 'R 1%'`,
        ],
      },
    ],
    apply: true,
  }),
  () => ({
    name: 'a delta table that is emptied by hand',
    steps: [{ at: 'source', sql: [`truncate bucardo.delta_public_tag`] }],
    apply: true,
  }),
  () =>
    atSource(
      'a table that is locked',
      `do $$ begin lock table invoice in access exclusive mode; perform pg_sleep(0.7); end $$`,
    ),
];
