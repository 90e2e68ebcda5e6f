/**
 * What capture by statement takes of `temp_file_limit`. A trigger for a statement is given the changed rows of the statement, which
 * Postgres keeps in a temporary file when they are more than work_mem holds. With such a limit a bulk change may fail that would
 * succeed without capture. Row triggers need no file.
 */
import type { Connection } from '../postgres/connection.ts';
import { type Finding, note } from './finding.ts';

export interface TemporaryFileLimit {
  /** `role app`, `database shop`, `role app in database shop`, `the server` */
  readonly of: string;
  /** `256kB` */
  readonly limit: string;
}

/**
 * $1 oids of tables. One row per setting that holds for sessions of this database, of roles only if they may write one of the tables;
 * the server's own only if our session has it. Takes no locks.
 */
const READ_LIMITS = `
  select 'the server' as of, pg_size_pretty(s.setting::int8 * 1024) as limit
  from pg_settings s
  where s.name = 'temp_file_limit' and s.setting <> '-1' and s.source in ('configuration file', 'command line')
  union all
  select concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname), split_part(c.setting, '=', 2)
  from pg_db_role_setting s
  cross join unnest(s.setconfig) as c(setting)
  left join pg_roles r on r.oid = s.setrole
  left join pg_database d on d.oid = s.setdatabase
  where c.setting like 'temp\\_file\\_limit=%' and c.setting <> 'temp_file_limit=-1'
    and (s.setdatabase = 0 or d.datname = current_database())
    and (s.setrole = 0 or exists (
      select from unnest($1::oid[]) t(oid)
      where r.oid is not null and has_table_privilege(r.oid, t.oid, 'insert, update, delete')))
  order by 1`;

/** @param oids of the tables that are captured by statement */
export async function readTemporaryFileLimits(
  db: Connection,
  oids: readonly number[],
): Promise<readonly TemporaryFileLimit[]> {
  if (oids.length === 0) return [];
  return await db.rows<TemporaryFileLimit>(READ_LIMITS, [oids]);
}

export function findTemporaryFileLimits(
  database: string,
  limits: readonly TemporaryFileLimit[],
): readonly Finding[] {
  return limits.map(({ of, limit }) =>
    note(
      'warning',
      'temp-file-limit',
      { database },
      `temp_file_limit is ${limit} for ${of}: a statement that changes many rows may fail there, since capture by statement keeps its rows in a temporary file`,
      "Raise temp_file_limit above the size of the largest change, or say capture: 'row' for the tables that are changed in bulk and run `bucardo apply`.",
    ),
  );
}
