/** How far the delivery of a large transaction has come, written to the source. @see large-transaction.ts */
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier, quoteLiteral } from '../postgres/identifiers.ts';
import { covers, formatSnapshot, parseSnapshot, type Snapshot, type Txid } from '../postgres/snapshot.ts';
import { type LargeTransaction, type Part, type Place, placeAfter } from './large-transaction.ts';

/** As the lane's state has it in JSON. */
export interface LargeRow {
  readonly txid: string;
  readonly fromMark: string | null;
  readonly end: string;
  readonly places: LargeTransaction['places'];
  readonly version: string;
}

/** An expression for the lane of $1 and $2: its record, or NULL. */
export const READ_LARGE = `(
  select json_build_object('txid', l.txid::text, 'fromMark', l.from_mark, 'end', l.end_mark::text,
    'places', l.places, 'version', l.xmin::text)
  from bucardo.large_transaction l where (l.sync, l.destination) = ($1, $2)
)`;

export function parseLarge(row: LargeRow): LargeTransaction {
  return { ...row, txid: BigInt(row.txid), end: parseSnapshot(row.end) };
}

/**
 * Where the deltas of a transaction lie in each of the tables. Reads all of them once.
 *
 * @param source in the snapshot that found the transaction
 */
export async function readPlaces(
  source: Connection,
  txid: Txid,
  ranges: readonly { readonly deltaName: string; readonly mark: Snapshot }[],
): Promise<LargeTransaction['places']> {
  const places: Record<string, Place> = {};
  for (const { deltaName, mark } of ranges) {
    const table = `bucardo.${quoteIdentifier(deltaName)}`;
    const wanted = covers(mark, txid) ? 'false' : `txid = ${txid}`;
    const found = await source.row<Omit<Place, 'from' | 'done' | 'deltas'> & { readonly deltas: number }>(
      `select coalesce(pg_relation_filenode(${quoteLiteral(table)}), 0)::text as file,
         ((current_setting('block_size')::int - 24) / 28) as "pageRows",
         coalesce(min((ctid::text::point)[0]), 0) as "firstPage", coalesce(max((ctid::text::point)[0]), 0) as "lastPage",
         count(*)::int as deltas
       from ${table} where ${wanted}`,
    );
    places[deltaName] = { ...found, from: formatSnapshot(mark), done: {} };
  }
  return places;
}

/** Whether the delta table is still the one whose pages were counted. The caller has read it: it cannot change any more. */
export async function isInPlace(source: Connection, deltaName: string, { file }: Place): Promise<boolean> {
  const table = quoteLiteral(`bucardo.${quoteIdentifier(deltaName)}`);
  const { same } = await source.row<{ same: boolean }>(
    `select pg_relation_filenode(${table})::text = $1 and relfilenode::text = $1 as same
     from pg_class where oid = ${table}::regclass`,
    [file],
  );
  return same;
}

/** Takes the place of whatever delivery was under way. */
export async function beginLarge(
  source: Connection,
  { sync, destination }: Lane,
  large: Omit<LargeTransaction, 'version'>,
): Promise<void> {
  await source.run(
    `insert into bucardo.large_transaction (sync, destination, txid, from_mark, end_mark, places)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (sync, destination) do update set txid = excluded.txid, from_mark = excluded.from_mark,
       end_mark = excluded.end_mark, places = excluded.places, begun_at = clock_timestamp()`,
    [
      sync,
      destination,
      String(large.txid),
      large.fromMark,
      formatSnapshot(large.end),
      JSON.stringify(large.places),
    ],
  );
}

/** Returns false, and changes nothing, if the record was not as it had been read. */
export async function recordPlace(
  source: Connection,
  { sync, destination }: Lane,
  large: LargeTransaction,
  part: Part,
): Promise<boolean> {
  const place = large.places[part.deltaName];
  if (place === undefined) return false;
  const recorded = await source.run(
    `update bucardo.large_transaction set places = places || $4::jsonb
     where (sync, destination) = ($1, $2) and xmin::text = $3`,
    [sync, destination, large.version, JSON.stringify({ [part.deltaName]: placeAfter(place, part) })],
  );
  return recorded > 0;
}

export async function endLarge(
  source: Connection,
  { sync, destination }: Pick<Lane, 'sync' | 'destination'>,
): Promise<void> {
  await source.run(`delete from bucardo.large_transaction where (sync, destination) = ($1, $2)`, [
    sync,
    destination,
  ]);
}
