/**
 * The control tables on a source, in schema `bucardo`: which tables are captured, who has what, who waits for what.
 * Everything a run needs to know is here, next to the deltas, so that functions hold no state and a failover or
 * point-in-time restore moves it all back together. Every table has a primary key: a publication FOR ALL TABLES keeps
 * working.
 */

import { DATABASE_OID } from './source-identity.ts';

/** Raised when the shape of these objects changes; `apply` then brings a source up to date. */
export const CONTROL_SCHEMA_VERSION = 3;

/**
 * Why deltas alone cannot make a table equal any more, and only a copy can.
 *
 * - `truncated`: a TRUNCATE cannot be replayed from keys.
 * - `restored`: the source is a restored copy, and destinations may have rows that it never had.
 * - `uncaptured`: a trigger, the capture function or the delta table was missing or switched off; changes may have been missed.
 * - `replaced`: another table has the name now.
 * - `target restored`: the destination went back in time further than the deltas do.
 */
export const COPY_REASONS = ['truncated', 'restored', 'uncaptured', 'replaced', 'target restored'] as const;
export type CopyReason = (typeof COPY_REASONS)[number];

/** Channel of NOTIFY, Bucardo's own. */
export const WAKE_CHANNEL = 'bucardo';

/** Everything that `CONTROL_SCHEMA` makes in schema bucardo. */
export const CONTROL_TABLES: readonly string[] = [
  'origin',
  'relation',
  'sync_relation',
  'progress',
  'held_relation',
  'lane_status',
  'copy',
  'truncation',
  'copy_needed',
  'copy_skipped',
  'last_copy',
  'rejected_row',
  'purge_mark',
  'capture_state',
  'large_transaction',
  'purge_failure',
];
export const CONTROL_SEQUENCES: readonly string[] = ['clock', 'wake'];
export const CONTROL_FUNCTIONS: readonly string[] = ['tick', 'uncaptured', 'record_uncaptured', 'delta_lost'];

/**
 * The hybrid clock's floor as an instant. `pg_sequence_last_value` costs a fifth of a `select last_value` (1.5 against 8 µs
 * of CPU in a trigger) and is NULL only as long as the sequence has never been set.
 */
const CLOCK_FLOOR = `timestamptz 'epoch' + coalesce(pg_sequence_last_value('bucardo.clock'), 0) * interval '1 microsecond'`;

/**
 * Idempotent. Runs in one transaction with `search_path = pg_catalog`.
 *
 * - `clock` holds the hybrid clock's floor in microseconds since 1970; `tick()` is rule 3 of convergence.
 * - `wake` is the armed flag: 1 armed, 0 disarmed. Sequences are read and set outside of transactions.
 * - `progress.mark` is NULL when everything is pending. `progress` is changed by compare-and-set on `mark::text`.
 * - `progress.run` is the number of the lane's latest run, recorded before it reads; `writes` the last transaction that the lane's row at the
 *   destination counted, NULL if that has no row; `timeline` the source's when they were compared. `last_copy.write` is the transaction by
 *   which a copy wrote a table last, `relation.purged_txid` the greatest of the deltas that were deleted.
 * - `lane_status.paused_at` and `dead_letter_at` came with version 2, and so are added to what version 1 made.
 * - `lane_status.asked_at`: somebody waits for a run that begins after it; holds are tried again, and idle runs leave a trace.
 *   `looked_at`: when the recorded run last looked at the source. `error_run_at`: when the run that failed began. All by the
 *   source's clock, like `held_relation.tried_at`, when the batch that could not write the relation looked. Came with version 3.
 * - `relation.table_oid` came with version 3: the table that is captured, whatever its name is now. NULL is unknown.
 * - `purge_mark.next_page` is the place of the walk through the delta table that deletes what `covered` covers.
 * - `delta_lost()` is called by the triggers that guard delta tables. @see delta-guard.ts
 * - `capture_state` is what was found when somebody last looked at a relation's triggers, function, delta table and partitions.
 * - `lane_status.begun_deltas` is the size of a batch that was begun and is not recorded; `deltas_per_second` what the last ones took.
 * - `large_transaction` says how far the delivery of one transaction in parts has come; `places` by delta table.
 * - `rejected_row.txntime` and `author` are the row's version, not the moment of its refusal. `author` came with version 3.
 * - `copy_skipped`: the first copy found rows at the target and copied nothing. Came with version 3.
 * - `relation.key_types` came with version 3: types of the key's columns as `apply` saw them last.
 * - A row of `truncation` says that from its transaction on deltas do not tell all: a TRUNCATE, or changes whose keys could not be
 *   captured (`reason`, since version 3).
 * - `uncaptured()` says so from within a query, in place of a key. It claims to be stable: the planner then leaves it out where
 *   nothing asks for it.
 * - Keys of rows are `text[]` in the order of `relation.key_columns`; as text a key may be too long for an index, hence `key_hash`.
 */
export const CONTROL_SCHEMA = `
create schema if not exists bucardo;

create sequence if not exists bucardo.clock as bigint minvalue 0 start with 0;
create sequence if not exists bucardo.wake as bigint minvalue 0 maxvalue 1 start with 1;

create table if not exists bucardo.origin (
  only_row boolean primary key default true check (only_row),
  database_name text not null,
  system_identifier bigint not null,
  schema_version integer not null
);

-- Of the database that these tables belong to. What an earlier version installed is where it was made.
alter table bucardo.origin add column if not exists database_oid oid;
update bucardo.origin set database_oid = ${DATABASE_OID} where database_oid is null;

create table if not exists bucardo.relation (
  schema_name text not null,
  table_name text not null,
  delta_name text not null unique,
  key_columns text[] not null,
  capture text not null check (capture in ('statement', 'row')),
  primary key (schema_name, table_name)
);

alter table bucardo.relation
  add column if not exists table_oid oid,
  add column if not exists key_types text[],
  add column if not exists purged_txid bigint;

-- Installed by an earlier version: the table that has our triggers is the one that was captured.
update bucardo.relation r set table_oid = c.oid
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where r.table_oid is null and (n.nspname, c.relname) = (r.schema_name, r.table_name)
  and exists (
    select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = c.oid and p.pronamespace = 'bucardo'::regnamespace and p.proname like 'capture\\_%'
  );

create table if not exists bucardo.sync_relation (
  sync text not null,
  schema_name text not null,
  table_name text not null,
  primary key (sync, schema_name, table_name),
  foreign key (schema_name, table_name) references bucardo.relation on delete cascade
);

create table if not exists bucardo.progress (
  sync text not null,
  destination text not null,
  mark txid_snapshot,
  system_identifier bigint not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (sync, destination)
);

alter table bucardo.progress
  add column if not exists run bigint not null default 0,
  add column if not exists writes bigint,
  add column if not exists timeline bigint;

create table if not exists bucardo.held_relation (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  mark txid_snapshot,
  error_code text not null,
  error_detail text not null,
  attempts integer not null default 1,
  held_at timestamptz not null default clock_timestamp(),
  retry_at timestamptz not null,
  primary key (sync, destination, schema_name, table_name),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

create table if not exists bucardo.lane_status (
  sync text not null,
  destination text not null,
  run_started_at timestamptz,
  run_finished_at timestamptz,
  run_rows bigint not null default 0,
  run_seconds double precision not null default 0,
  total_rows bigint not null default 0,
  failures integer not null default 0,
  error_code text,
  error_detail text,
  error_at timestamptz,
  retry_at timestamptz,
  primary key (sync, destination),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

alter table bucardo.lane_status
  add column if not exists paused_at timestamptz,
  add column if not exists dead_letter_at timestamptz,
  add column if not exists asked_at timestamptz,
  add column if not exists looked_at timestamptz,
  add column if not exists error_run_at timestamptz;

alter table bucardo.held_relation add column if not exists tried_at timestamptz;

alter table bucardo.lane_status
  add column if not exists begun_deltas bigint,
  add column if not exists deltas_per_second double precision;

create table if not exists bucardo.large_transaction (
  sync text not null,
  destination text not null,
  txid bigint not null,
  from_mark text,
  end_mark txid_snapshot not null,
  places jsonb not null,
  begun_at timestamptz not null default clock_timestamp(),
  primary key (sync, destination),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

create table if not exists bucardo.copy (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  policy text not null check (policy in ('if-empty', 'always')),
  state text not null check (state in ('wanted', 'copying')),
  done_to text[],
  chunk_to text[],
  chunk_open boolean not null default false,
  rows_copied bigint not null default 0,
  rows_estimated bigint not null default 0,
  started_at timestamptz,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (sync, destination, schema_name, table_name),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

create table if not exists bucardo.truncation (
  schema_name text not null,
  table_name text not null,
  txid bigint not null default txid_current(),
  txntime timestamptz not null,
  author text,
  primary key (txid, schema_name, table_name)
);

alter table bucardo.truncation add column if not exists reason text not null default 'truncated';

create table if not exists bucardo.copy_needed (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  reason text not null,
  since timestamptz not null default clock_timestamp(),
  primary key (sync, destination, schema_name, table_name),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

alter table bucardo.copy_needed
  drop constraint if exists copy_needed_reason_check,
  add constraint copy_needed_reason_check check (reason in (${COPY_REASONS.map((reason) => `'${reason}'`).join(', ')}));

create table if not exists bucardo.copy_skipped (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  skipped_at timestamptz not null default clock_timestamp(),
  primary key (sync, destination, schema_name, table_name),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

create table if not exists bucardo.last_copy (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  write bigint not null,
  primary key (sync, destination, schema_name, table_name),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

create table if not exists bucardo.rejected_row (
  sync text not null,
  destination text not null,
  schema_name text not null,
  table_name text not null,
  key text[] not null,
  error_code text not null,
  error_detail text not null,
  sqlstate text,
  attempts integer not null default 1,
  txntime timestamptz not null,
  rejected_at timestamptz not null default clock_timestamp(),
  key_hash bytea not null,
  primary key (sync, destination, schema_name, table_name, key_hash),
  foreign key (sync, destination) references bucardo.progress on delete cascade
);

alter table bucardo.rejected_row add column if not exists author text;

create table if not exists bucardo.purge_mark (
  schema_name text not null,
  table_name text not null,
  covered txid_snapshot not null,
  marked_at timestamptz not null default clock_timestamp(),
  primary key (schema_name, table_name),
  foreign key (schema_name, table_name) references bucardo.relation on delete cascade
);

alter table bucardo.purge_mark
  add column if not exists next_page bigint not null default 0,
  add column if not exists walked boolean not null default false,
  add column if not exists advanced_at timestamptz not null default clock_timestamp();

create table if not exists bucardo.purge_failure (
  schema_name text not null,
  table_name text not null,
  error_code text not null,
  error_detail text not null,
  failures integer not null default 1,
  since timestamptz not null default clock_timestamp(),
  failed_at timestamptz not null default clock_timestamp(),
  primary key (schema_name, table_name),
  foreign key (schema_name, table_name) references bucardo.relation on delete cascade
);

create table if not exists bucardo.capture_state (
  schema_name text not null,
  table_name text not null,
  place text not null,
  function_hash text not null,
  delta_oid oid not null,
  triggers jsonb not null,
  partitions jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (schema_name, table_name),
  foreign key (schema_name, table_name) references bucardo.relation on delete cascade
);

create or replace function bucardo.delta_lost() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $lost$
begin
  insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select p.sync, p.destination, r.schema_name, r.table_name, 'uncaptured'
  from bucardo.relation r
  join bucardo.sync_relation s using (schema_name, table_name)
  join bucardo.progress p using (sync)
  where r.delta_name = tg_table_name
  on conflict do nothing;
  return null;
end
$lost$;

revoke all on function bucardo.delta_lost() from public;

create or replace function bucardo.tick() returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $tick$
declare
  stamp timestamptz := clock_timestamp();
begin
  if stamp > ${CLOCK_FLOOR} then return stamp; end if;
  return timestamptz 'epoch' + nextval('bucardo.clock') * interval '1 microsecond';
end
$tick$;

revoke all on function bucardo.tick() from public;

create or replace function bucardo.record_uncaptured(text, text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $record$
begin
  insert into bucardo.truncation (schema_name, table_name, txntime, reason)
    values ($1, $2, bucardo.tick(), 'uncaptured') on conflict do nothing;
end
$record$;

create or replace function bucardo.uncaptured(text, text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $uncaptured$
begin
  perform bucardo.record_uncaptured($1, $2);
  return null;
end
$uncaptured$;

revoke all on function bucardo.record_uncaptured(text, text) from public;
revoke all on function bucardo.uncaptured(text, text) from public;
`;
