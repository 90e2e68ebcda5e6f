/**
 * Parks rows that the destination refused: their keys and the kind of error, on the source. A batch that ends before the
 * newest change may be refused for a reason that what is still pending removes (a unique value set free, a parent row), so
 * its rows are also made pending again, behind all that is pending now. A parked row keeps the version that it had: that of the
 * newest delta which the batch had of it.
 */
import { deltaColumnNames } from '../capture/key-column.ts';
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, quoteIdentifier } from '../postgres/identifiers.ts';
import type { RefusedRow } from '../targets/target.ts';
import { pendParked } from './pend-parked.ts';
import { type DeltaRange, pendingDeltas } from './pending.ts';

/** A row that is refused in earnest costs so many more tries while a backlog is worked off. */
const MOST_ATTEMPTS = 3;

export interface ParkSettings {
  readonly lane: Lane;
  /** Where the deltas of a relation lie that its batch was about, by display name. A copied row need not have any. */
  readonly deltasOf: (relation: string) => Omit<DeltaRange, 'deltaName'>;
  /** The batch left newer changes out. */
  readonly mayPass: boolean;
}

/** @param source in a transaction */
export async function park(
  source: Connection,
  refused: readonly RefusedRow[],
  settings: ParkSettings,
): Promise<void> {
  const relations = Map.groupBy(refused, ({ plan }) => displayRelation(plan));
  for (const rows of relations.values()) await parkRelation(source, rows, settings);
}

async function parkRelation(
  source: Connection,
  rows: readonly RefusedRow[],
  { lane, deltasOf, mayPass }: ParkSettings,
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const { sync, destination } = lane;
  const { schema, table, deltaName, key } = first.plan;
  const once = new Map(rows.map((row) => [JSON.stringify(row.key), row]));
  const told = [...once.values()].map(({ key, error: { code, detail = '', sqlstate } }) => ({
    key,
    code,
    detail,
    sqlstate,
  }));
  const deltas = { deltaName, ...deltasOf(displayRelation(first.plan)) };
  const parked = await source.rows<{ attempts: number; hash: Buffer }>(
    parkSql(
      deltas,
      key.map(({ name }) => name),
    ),
    [sync, destination, schema, table, JSON.stringify(told)],
  );
  const again = parked.filter(({ attempts }) => mayPass && attempts <= MOST_ATTEMPTS);
  if (again.length === 0) return;
  const keyHashes = again.map(({ hash }) => hash);
  await pendParked(source, { sync, destination, relation: { schema, table }, keyHashes });
}

/**
 * $1 to $4 the relation, $5 the refused rows. Returns one row each. The version of a row that was copied, and has no delta, is not
 * known: it was there when the copy began. Reads the range's deltas once.
 */
function parkSql(deltas: DeltaRange, key: readonly string[]): string {
  return `
  with refused as (
    select array(select json_array_elements_text(row -> 'key')) as key, row ->> 'code' as code,
      row ->> 'detail' as detail, row ->> 'sqlstate' as sqlstate
    from json_array_elements($5::json) row
  ),
  version as (
    select f.key, max(d.txntime) as txntime,
      (array_agg(d.author order by d.txntime desc, d.author desc nulls last))[1] as author
    from refused f
    join ${pendingDeltas(deltas)} d on f.key = ${keyAsText('d', key)}
    group by f.key
  )
  insert into bucardo.rejected_row as r
    (sync, destination, schema_name, table_name, key, key_hash, error_code, error_detail, sqlstate, txntime, author)
  select $1, $2, $3, $4, f.key, sha256(convert_to(f.key::text, 'UTF8')), f.code, f.detail, f.sqlstate,
    coalesce(v.txntime, c.started_at, clock_timestamp()), v.author
  from refused f
  left join version v on v.key = f.key
  left join bucardo.copy c on (c.sync, c.destination, c.schema_name, c.table_name) = ($1, $2, $3, $4)
  on conflict (sync, destination, schema_name, table_name, key_hash) do update set
    error_code = excluded.error_code, error_detail = excluded.error_detail, sqlstate = excluded.sqlstate,
    attempts = r.attempts + 1, rejected_at = excluded.rejected_at,
    txntime = greatest(r.txntime, excluded.txntime),
    author = case when excluded.txntime >= r.txntime then excluded.author else r.author end
  returning r.attempts, r.key_hash as hash`;
}

/** A delta's key as COPY wrote it when the row was parked; a cast to text differs for char(n), inet and boolean. @param key names in the table */
export function keyAsText(alias: string, key: readonly string[]): string {
  const values = deltaColumnNames(key)
    .map((name) => `${alias}.${quoteIdentifier(name)}`)
    .map((column) => `case when ${column} is not null then format('%s', ${column}) end`);
  return `array[${values.join(', ')}]`;
}
