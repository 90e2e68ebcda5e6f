/**
 * Postgres's commands that change a table, as lists for tests to go through: those that give it a new file, and those that do not.
 * Each can be run again and again on a table `changed (id int primary key, v int)`, here called by whatever name is given, and
 * leaves it with these columns and, unless it empties it, with its rows.
 */

export interface TableDdl {
  readonly title: string;
  /** Run one after the other. */
  readonly sql: (table: string) => readonly string[];
  /** The first major that has the command. */
  readonly since?: number;
  readonly empties?: true;
  /** Not for a partition, whose columns are its parent's. */
  readonly ofRoot?: true;
}

/** What some of the commands need. Run once in a database; the server must allow tablespaces in its own folder. */
export const DDL_SETUP = {
  15: `
    create access method heap_too type table handler heap_tableam_handler;
    set allow_in_place_tablespaces = on`,
} as const;

/** `pg_relation_filenode` is another one afterwards. The list: the manual's ALTER TABLE, CLUSTER, TRUNCATE and VACUUM. */
export const REWRITING: readonly TableDdl[] = [
  {
    title: 'alter column type',
    sql: (t) => [`alter table ${t} alter column v type bigint`, `alter table ${t} alter column v type int`],
    ofRoot: true,
  },
  {
    title: 'alter column type using an expression',
    sql: (t) => [`alter table ${t} alter column v type int using v + 0`],
    ofRoot: true,
  },
  {
    title: 'add column with a volatile default',
    sql: (t) => [
      `alter table ${t} add column r double precision default random()`,
      `alter table ${t} drop column r`,
    ],
    ofRoot: true,
  },
  {
    title: 'add a stored generated column',
    sql: (t) => [
      `alter table ${t} add column g int generated always as (v + 1) stored`,
      `alter table ${t} drop column g`,
    ],
    ofRoot: true,
  },
  {
    title: 'add a serial column',
    sql: (t) => [`alter table ${t} add column n bigserial`, `alter table ${t} drop column n`],
    ofRoot: true,
  },
  {
    title: 'set unlogged and logged',
    sql: (t) => [`alter table ${t} set unlogged`, `alter table ${t} set logged`],
  },
  {
    title: 'set access method',
    sql: (t) => [`alter table ${t} set access method heap_too`, `alter table ${t} set access method heap`],
    since: 15,
  },
  {
    title: 'set expression of a stored generated column',
    sql: (t) => [
      `alter table ${t} add column g int generated always as (v + 1) stored`,
      `alter table ${t} alter column g set expression as (v + 2)`,
      `alter table ${t} drop column g`,
    ],
    since: 17,
    ofRoot: true,
  },
  { title: 'vacuum full', sql: (t) => [`vacuum full ${t}`] },
  { title: 'cluster', sql: (t) => [`cluster ${t} using ${t}_pkey`] },
  {
    title: 'truncate and fill again',
    sql: (t) => [
      `begin;
      create temporary table kept on commit drop as select * from ${t};
      truncate ${t};
      insert into ${t} select * from kept;
      commit`,
    ],
  },
  { title: 'truncate', sql: (t) => [`truncate ${t}`], empties: true },
];

export interface UndoneDdl {
  readonly title: string;
  readonly sql: (table: string) => readonly string[];
  readonly undo: (table: string) => readonly string[];
}

/**
 * `pg_relation_filenode` stays the same, and what `undo` leaves is what was there. For a table that also has `extra int`, NULL
 * everywhere, `short varchar(10)` and a column of each row's own, beside a table `stranger` with the same columns.
 */
export const NOT_REWRITING: readonly UndoneDdl[] = [
  {
    title: 'add column',
    sql: (t) => [`alter table ${t} add column n int`],
    undo: (t) => [`alter table ${t} drop column n`],
  },
  {
    title: 'add column with a constant default',
    sql: (t) => [`alter table ${t} add column n int not null default 7`],
    undo: (t) => [`alter table ${t} drop column n`],
  },
  {
    title: 'drop column',
    sql: (t) => [`alter table ${t} drop column extra`],
    undo: (t) => [`alter table ${t} add column extra int`],
  },
  {
    title: 'drop column and add it with another type of the same width',
    sql: (t) => [
      `begin; alter table ${t} drop column extra; alter table ${t} add column extra text not null default 'abcd'; commit`,
    ],
    undo: (t) => [`begin; alter table ${t} drop column extra; alter table ${t} add column extra int; commit`],
  },
  {
    title: 'rename column',
    sql: (t) => [`alter table ${t} rename column v to w`],
    undo: (t) => [`alter table ${t} rename column w to v`],
  },
  {
    title: 'rename columns in a circle',
    sql: (t) => [
      `begin; alter table ${t} rename column v to w; alter table ${t} rename column extra to v; alter table ${t} rename column w to extra; commit`,
    ],
    undo: (t) => [
      `begin; alter table ${t} rename column v to w; alter table ${t} rename column extra to v; alter table ${t} rename column w to extra; commit`,
    ],
  },
  {
    title: 'widen a varchar',
    sql: (t) => [`alter table ${t} alter column short type varchar(20)`],
    undo: (t) => [`alter table ${t} alter column short type varchar(10)`],
  },
  {
    title: 'set and drop not null',
    sql: (t) => [`alter table ${t} alter column v set not null`],
    undo: (t) => [`alter table ${t} alter column v drop not null`],
  },
  {
    title: 'create and drop an index',
    sql: (t) => [`create index added on ${t} (v)`],
    undo: () => [`drop index added`],
  },
  {
    title: 'drop the key and add it again',
    sql: (t) => [`alter table ${t} drop constraint ${t}_pkey`],
    undo: (t) => [`alter table ${t} add constraint ${t}_pkey primary key (id)`],
  },
  { title: 'reindex', sql: (t) => [`reindex table ${t}`], undo: () => [] },
  { title: 'vacuum', sql: (t) => [`vacuum ${t}`], undo: () => [] },
  {
    title: 'rename table',
    sql: (t) => [`alter table ${t} rename to away`],
    undo: (t) => [`alter table away rename to ${t}`],
  },
  {
    title: 'set schema',
    sql: (t) => [`create schema elsewhere; alter table ${t} set schema elsewhere`],
    undo: (t) => [`alter table elsewhere.${t} set schema public; drop schema elsewhere`],
  },
  {
    title: 'swap with another table by renaming',
    sql: (t) => [`begin; alter table ${t} rename to away; alter table stranger rename to ${t}; commit`],
    undo: (t) => [`begin; alter table ${t} rename to stranger; alter table away rename to ${t}; commit`],
  },
];
