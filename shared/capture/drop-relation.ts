/** Removing what belongs to one relation, from the table outwards: first what writes, then what is written to. */
import { quoteLiteral, quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import type { InstalledRelation } from './installed.ts';
import { NO_WAITING } from './table-locks.ts';
import { quoteCaptureFunction, quoteDelta } from './capture-sql.ts';

/** Rows about a relation that the registry's foreign keys do not reach. */
const LANE_TABLES = ['held_relation', 'copy', 'copy_needed', 'copy_skipped', 'last_copy', 'rejected_row'];

/**
 * Dropping the function drops the triggers with it. Locks the relation (ACCESS EXCLUSIVE) before the delta table, as writers do,
 * so the two never wait for each other.
 */
export function dropRelationSql(
  relation: Pick<InstalledRelation, 'schema' | 'table' | 'deltaName' | 'triggers'>,
): readonly string[] {
  const where = relationIs(relation);
  const tables = new Set(relation.triggers.map(({ on }) => quoteRelation(on)));
  return [
    ...(tables.size > 1 ? [NO_WAITING] : []),
    `drop function if exists ${quoteCaptureFunction(relation.deltaName)}() cascade`,
    `drop table if exists ${quoteDelta(relation.deltaName)}`,
    ...LANE_TABLES.map((table) => `delete from bucardo.${table} where ${where}`),
    `delete from bucardo.truncation where ${where}`,
    `delete from bucardo.relation where ${where}`,
  ];
}

/** The relation leaves one sync and stays in others. */
export function forgetPairSql(sync: string, relation: RelationName): readonly string[] {
  const where = `sync = ${quoteLiteral(sync)} and ${relationIs(relation)}`;
  return [...LANE_TABLES, 'sync_relation'].map((table) => `delete from bucardo.${table} where ${where}`);
}

function relationIs({ schema, table }: RelationName): string {
  return `schema_name = ${quoteLiteral(schema)} and table_name = ${quoteLiteral(table)}`;
}
