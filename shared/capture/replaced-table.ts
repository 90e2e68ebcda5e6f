/**
 * What `apply` does about a relation whose name belongs to another table than the one that was captured. The new table is captured
 * from now on, and every lane needs a copy: nothing is known of what the new table had, or got, before. Pure.
 *
 * Deltas of the old table stay as far as they can be read as keys of the new one (@see retype.ts): a key is looked up when it is
 * delivered, whatever table it came from.
 */
import { quoteLiteral, quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import type { InstalledRelation } from './installed.ts';

/** Whether another table has the name now. An unknown oid is none. */
export function isReplaced(
  { tableOid }: Pick<InstalledRelation, 'tableOid'>,
  now: number | undefined,
): boolean {
  return tableOid !== undefined && now !== undefined && tableOid !== now;
}

/** First in the step: a copy for this reason is asked for before any other. */
export function replacedSql(relation: RelationName): readonly string[] {
  const is = relationIs(relation);
  return [
    `insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select p.sync, p.destination, s.schema_name, s.table_name, 'replaced'
  from bucardo.progress p join bucardo.sync_relation s using (sync)
  where ${is}
  on conflict do nothing`,
  ];
}

/** Last in the step, when its triggers' locks keep the name on the table. A relation that waited for this is due at once. */
export function recordOidSql(relation: RelationName): readonly string[] {
  const is = relationIs(relation);
  return [
    `update bucardo.relation set table_oid = ${quoteLiteral(quoteRelation(relation))}::regclass where ${is}`,
    `update bucardo.held_relation set retry_at = clock_timestamp() where ${is}`,
  ];
}

function relationIs({ schema, table }: RelationName): string {
  return `schema_name = ${quoteLiteral(schema)} and table_name = ${quoteLiteral(table)}`;
}
