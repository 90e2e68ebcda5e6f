/** Records of many tables' copies at once, each by compare-and-set on its version. @see copy-record.ts */
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import type { CopyVersion } from './copy-record.ts';
import { recordWrites } from './record-batch.ts';
import { BECAUSE_OF_OTHER_ROWS, pendParked } from './pend-parked.ts';

export interface VersionedCopy extends RelationName {
  readonly version: CopyVersion;
}

/** `from`-item: $3 schemas, $4 tables, $5 versions. */
const GIVEN = `unnest($3::text[], $4::text[], $5::text[]) as g(schema_name, table_name, version)`;
const IS_GIVEN = `(c.sync, c.destination, c.schema_name, c.table_name) = ($1, $2, g.schema_name, g.table_name)
  and c.xmin::text = g.version`;

/** The targets' tables are (now) empty: chunks may come, and rows that were refused before are tried anew. */
export async function beginCopies(
  source: Connection,
  lane: Lane,
  copies: readonly (VersionedCopy & { readonly estimatedRows: number })[],
): Promise<void> {
  await source.run(
    `with begun as (
       update bucardo.copy c set state = 'copying', done_to = null, chunk_open = false, chunk_to = null, rows_copied = 0,
         rows_estimated = e.rows, started_at = clock_timestamp(), updated_at = clock_timestamp()
       from ${GIVEN}
       join unnest($3::text[], $4::text[], $6::float8[]) as e(schema_name, table_name, rows) using (schema_name, table_name)
       where ${IS_GIVEN}
       returning c.schema_name, c.table_name
     ),
     not_skipped as (
       delete from bucardo.copy_skipped k using begun b
       where (k.sync, k.destination, k.schema_name, k.table_name) = ($1, $2, b.schema_name, b.table_name)
     ),
     tried_anew as (
       delete from bucardo.rejected_row r using begun b
       where (r.sync, r.destination, r.schema_name, r.table_name) = ($1, $2, b.schema_name, b.table_name)
     )
     delete from bucardo.copy_needed n using begun b
     where (n.sync, n.destination, n.schema_name, n.table_name) = ($1, $2, b.schema_name, b.table_name)`,
    [...valuesOf(lane, copies), copies.map(({ estimatedRows }) => estimatedRows)],
  );
}

/** Opens a chunk that is the whole table. Returns the new versions, by display name, of those that were as they had been read. */
export async function openWhole(
  source: Connection,
  lane: Lane,
  copies: readonly VersionedCopy[],
): Promise<ReadonlyMap<string, CopyVersion>> {
  const opened = await source.rows<VersionedCopy>(
    `update bucardo.copy c set chunk_open = true, chunk_to = null, updated_at = clock_timestamp()
     from ${GIVEN} where ${IS_GIVEN}
     returning c.schema_name as schema, c.table_name as table, c.xmin::text as version`,
    valuesOf(lane, copies),
  );
  return new Map(opened.map((copy) => [displayRelation(copy), copy.version]));
}

/** The tables are at the target: from now on their deltas bring everything. @see endCopy @param writes as at the destination */
export async function closeCopies(
  source: Connection,
  lane: Lane,
  copies: readonly VersionedCopy[],
  writes: bigint | undefined,
): Promise<void> {
  const { sync, destination } = lane;
  await source.transaction('read committed', async () => {
    await recordWrites(source, lane, writes);
    await source.run(
      `with ended as (
         delete from bucardo.copy c using ${GIVEN} where ${IS_GIVEN} returning c.schema_name, c.table_name
       ),
       copied as (
         insert into bucardo.last_copy as l (sync, destination, schema_name, table_name, write)
         select $1, $2, e.schema_name, e.table_name, $6::bigint from ended e where $6::bigint is not null
         on conflict (sync, destination, schema_name, table_name) do update set write = greatest(l.write, excluded.write)
       )
       delete from bucardo.held_relation h using ended e, bucardo.progress p
       where (h.sync, h.destination, h.schema_name, h.table_name) = ($1, $2, e.schema_name, e.table_name)
         and (p.sync, p.destination) = ($1, $2) and h.mark::text is not distinct from p.mark::text`,
      [...valuesOf(lane, copies), writes === undefined ? null : String(writes)],
    );
    await pendParked(source, { sync, destination, sqlstates: BECAUSE_OF_OTHER_ROWS });
  });
}

function valuesOf({ sync, destination }: Lane, copies: readonly VersionedCopy[]): readonly unknown[] {
  return [
    sync,
    destination,
    copies.map(({ schema }) => schema),
    copies.map(({ table }) => table),
    copies.map(({ version }) => version),
  ];
}
