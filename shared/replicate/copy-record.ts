/**
 * How far a lane's copies have come, written to the source. Each function is a transaction of its own, by compare-and-set on
 * the record's version: a run that was thought dead, and a copy that was asked for anew meanwhile, change nothing here.
 */
import type { Lane } from '../config/types.ts';
import type { BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import type { RelationName } from '../postgres/identifiers.ts';
import type { Boundary } from './key-range.ts';
import { BECAUSE_OF_OTHER_ROWS, pendParked } from './pend-parked.ts';
import { holdSeconds } from './retry-delay.ts';

/** The record as it was read or written last: the transaction that wrote it. */
export type CopyVersion = string;

/**
 * Returns the record's new version; undefined if it was not as it had been read.
 *
 * @param upTo undefined if the chunk goes to the end of the table
 */
export async function openChunk(
  source: Connection,
  lane: Lane,
  relation: RelationName,
  version: CopyVersion,
  upTo: Boundary | undefined,
): Promise<CopyVersion | undefined> {
  const [opened] = await source.rows<{ version: CopyVersion }>(
    `update bucardo.copy set chunk_open = true, chunk_to = $6, updated_at = clock_timestamp()
     where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4) and xmin::text = $5
     returning xmin::text as version`,
    [...relationOf(lane, relation), version, upTo],
  );
  return opened?.version;
}

/**
 * $1 to $4 the relation, $5 the destination's count once a copy has written the table, NULL if it keeps none or nothing was
 * written. Recorded with the chunk: a chunk that counts as done and is not at the destination any more would be missed.
 */
const COPIED = `
  counted as (
    update bucardo.progress set writes = $5::bigint where (sync, destination) = ($1, $2) and writes < $5::bigint
  ),
  copied as (
    insert into bucardo.last_copy as l (sync, destination, schema_name, table_name, write)
    select $1, $2, $3, $4, $5::bigint where $5::bigint is not null
    on conflict (sync, destination, schema_name, table_name) do update set write = greatest(l.write, excluded.write)
  )`;

/** The open chunk is at the target. @param writes what the destination has counted */
export async function closeChunk(
  source: Connection,
  lane: Lane,
  relation: RelationName,
  version: CopyVersion,
  rows: number,
  writes: bigint | undefined,
): Promise<void> {
  await source.run(
    `with closed as (
       update bucardo.copy set done_to = chunk_to, chunk_open = false, rows_copied = rows_copied + $7, updated_at = clock_timestamp()
       where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4) and xmin::text = $6
     ), ${COPIED}
     select`,
    [...relationOf(lane, relation), textOf(writes), version, rows],
  );
}

/**
 * The table is at the target, or is not to be copied: from now on its deltas bring everything. Rows that were refused for want of
 * others are tried once more.
 *
 * @param skipped nothing was copied, since the target had rows: that is kept in mind until the table is copied
 * @param writes what the destination has counted once the copy had written the table; left out if nothing was written
 */
export async function endCopy(
  source: Connection,
  lane: Lane,
  relation: RelationName,
  version: CopyVersion,
  { writes, skipped = false }: { readonly writes?: bigint | undefined; readonly skipped?: boolean },
): Promise<void> {
  await source.transaction('read committed', async () => {
    const ended = await source.rows(
      `with ended as (
         delete from bucardo.copy where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4) and xmin::text = $6
         returning sync
       ), ${COPIED}
       select from ended`,
      [...relationOf(lane, relation), textOf(writes), version],
    );
    if (ended.length === 0) return;
    if (skipped) {
      await source.run(
        `insert into bucardo.copy_skipped (sync, destination, schema_name, table_name) values ($1, $2, $3, $4)
         on conflict (sync, destination, schema_name, table_name) do update set skipped_at = excluded.skipped_at`,
        relationOf(lane, relation),
      );
    }
    await source.run(
      `delete from bucardo.held_relation where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4)
         and mark::text is not distinct from (
           select p.mark::text from bucardo.progress p where (p.sync, p.destination) = ($1, $2))`,
      relationOf(lane, relation),
    );
    const { sync, destination } = lane;
    await pendParked(source, { sync, destination, sqlstates: BECAUSE_OF_OTHER_ROWS });
  });
}

/**
 * The relation waits: copy and deltas both, each at its place.
 *
 * @param tried how often it has failed in a row, and when the run that tried it had looked at the source
 */
export async function holdCopy(
  source: Connection,
  lane: Lane,
  relation: RelationName,
  error: BucardoError,
  { attempts, lookedAt }: { readonly attempts: number; readonly lookedAt: string },
): Promise<void> {
  await source.run(
    `insert into bucardo.held_relation
       (sync, destination, schema_name, table_name, mark, error_code, error_detail, attempts, retry_at, tried_at)
     select p.sync, p.destination, $3, $4, p.mark, $5, $6, $7, clock_timestamp() + $8 * interval '1 second', $9
     from bucardo.progress p where (p.sync, p.destination) = ($1, $2)
     on conflict (sync, destination, schema_name, table_name) do update set
       error_code = excluded.error_code, error_detail = excluded.error_detail,
       attempts = excluded.attempts, retry_at = excluded.retry_at, tried_at = excluded.tried_at`,
    [
      ...relationOf(lane, relation),
      error.code,
      error.message,
      attempts,
      holdSeconds(error.code, attempts),
      lookedAt,
    ],
  );
}

function relationOf({ sync, destination }: Lane, { schema, table }: RelationName): readonly string[] {
  return [sync, destination, schema, table];
}

function textOf(writes: bigint | undefined): string | null {
  return writes === undefined ? null : String(writes);
}
