/**
 * Whether the table under a relation's name is the one that is captured. A table is its oid: a name may come to belong to another
 * table, by dropping and creating, by renaming, by a restore; the triggers are then elsewhere or gone, nothing is captured, and
 * nothing that waits would ever tell. So every run and every look compares, whether or not there is something to do. Whether the right
 * table's changes are all captured is another question: @see find-losses.ts
 */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';

/** One relation of which the catalogs say something else than the registry. Names only. */
export interface TableProblem extends RelationName {
  /**
   * - `replaced`: another relation has the name.
   * - `renamed`: nothing has the name, the captured table has another one.
   * - `missing`: neither name nor table are there.
   */
  readonly kind: 'replaced' | 'renamed' | 'missing';
  /** What the captured table is called now; null if it is gone. */
  readonly now: RelationName | null;
}

/**
 * One row for each relation of `bucardo.relation r` that has a problem: a query with the columns `schema`, `table`, `kind` and
 * `now`. One look into pg_class by oid for each relation: a table that still has its name cannot have lost it to another. An unknown
 * oid (NULL) is no problem. Takes no locks.
 *
 * @param which condition on `r`
 */
export function tableProblems(which: string): string {
  return `
    select r.schema_name as schema, r.table_name as table,
      case
        when exists (
          select from pg_class o join pg_namespace m on m.oid = o.relnamespace
          where (m.nspname, o.relname) = (r.schema_name, r.table_name)
        ) then 'replaced'
        when c.oid is null then 'missing'
        else 'renamed'
      end as kind,
      case when c.oid is not null then json_build_object('schema', n.nspname, 'table', c.relname) end as now
    from bucardo.relation r
    left join pg_class c on c.oid = r.table_oid
    left join pg_namespace n on n.oid = c.relnamespace
    where r.table_oid is not null and ${which}
      and (n.nspname, c.relname) is distinct from (r.schema_name, r.table_name)
    order by 1, 2`;
}

/** The problems of a sync's relations, looked up now. */
export async function readTableProblems(source: Connection, sync: string): Promise<readonly TableProblem[]> {
  return await source.rowsPrepared<TableProblem>(
    tableProblems(`exists (
      select from bucardo.sync_relation s
      where s.sync = $1 and (s.schema_name, s.table_name) = (r.schema_name, r.table_name)
    )`),
    [sync],
  );
}

/** @param database the source's name */
export function tableProblemError(problem: TableProblem, database: string): BucardoError {
  const concern = { database, relation: displayRelation(problem) };
  const now = problem.now === null ? undefined : displayRelation(problem.now);
  switch (problem.kind) {
    case 'replaced':
      return new BucardoError('BUC-TABLE-REPLACED', {
        ...concern,
        detail: now === undefined ? 'the captured table is gone' : `the captured table is called ${now} now`,
      });
    case 'renamed':
      return new BucardoError('BUC-TABLE-RENAMED', { ...concern, detail: `it is called ${now} now` });
    case 'missing':
      return new BucardoError('BUC-TABLE-MISSING', { ...concern, detail: 'it was dropped' });
    default:
      return problem.kind satisfies never;
  }
}
