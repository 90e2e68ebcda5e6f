/**
 * Deltas leave a delta table by purge alone. Whoever else takes some away (DELETE, TRUNCATE) may take pending ones, and changes
 * would be lost in silence: triggers on the delta table then ask for a copy in the same transaction. Conservative: which of the deltas
 * were pending is not looked at.
 */
import { quoteDelta } from './capture-sql.ts';
import type { DeltaState } from './capture-state.ts';

/** Set to `on` by purge, for the transaction of each of its chunks. */
export const PURGING = 'bucardo.purging';

const ON_DELETE = 'bucardo_guard_delete';
const ON_TRUNCATE = 'bucardo_guard_truncate';

/** A statement's triggers without transition tables cost a purge nothing for each row. */
export function guardSql(deltaName: string): readonly string[] {
  const table = quoteDelta(deltaName);
  return [
    `create trigger ${ON_DELETE} after delete on ${table} for each statement
  when (current_setting('${PURGING}', true) is distinct from 'on') execute function bucardo.delta_lost()`,
    `create trigger ${ON_TRUNCATE} after truncate on ${table} for each statement execute function bucardo.delta_lost()`,
  ];
}

/** A publication for all tables refuses deletions from tables without a replica identity, and a delta table has no key. */
export function identitySql(deltaName: string): string {
  return `alter table ${quoteDelta(deltaName)} replica identity full`;
}

export function isGuarded({ guards }: DeltaState): boolean {
  return guards.includes(ON_DELETE) && guards.includes(ON_TRUNCATE);
}

/** Brings a delta table of an earlier version, or one that somebody changed, to what a new one has. */
export function repairDeltaSql(deltaName: string, delta: DeltaState): readonly string[] {
  const table = quoteDelta(deltaName);
  return [
    ...(delta.identity === 'f' ? [] : [identitySql(deltaName)]),
    ...(isGuarded(delta)
      ? []
      : [
          `drop trigger if exists ${ON_DELETE} on ${table}`,
          `drop trigger if exists ${ON_TRUNCATE} on ${table}`,
          ...guardSql(deltaName),
        ]),
  ];
}

/** The same for all delta tables of a source that was installed by an earlier version; they may not be known by name yet. */
export const IDENTITIES_SQL = `
do $identities$
declare
  delta regclass;
begin
  for delta in
    select c.oid from bucardo.relation r
    join pg_class c on c.relname = r.delta_name and c.relnamespace = 'bucardo'::regnamespace
    where c.relkind = 'r' and c.relreplident <> 'f'
  loop
    execute format('alter table %s replica identity full', delta);
  end loop;
end
$identities$`;
