/**
 * Parks a row that the destination refused: its key and the kind of error, on the source. A batch that ends before the
 * newest change may be refused for a reason that what is still pending removes (a unique value set free, a parent row), so
 * its rows are also made pending again, behind all that is pending now.
 */
import { quoteDelta } from '../capture/capture-sql.ts';
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import type { RefusedRow } from '../targets/target.ts';
import type { RelationPlan } from './relation-plan.ts';

const PARK = `
  insert into bucardo.rejected_row as r
    (sync, destination, schema_name, table_name, key, key_hash, error_code, error_detail, sqlstate, txntime)
  values ($1, $2, $3, $4, $5, sha256(convert_to($5::text[]::text, 'UTF8')), $6, $7, $8, bucardo.tick())
  on conflict (sync, destination, schema_name, table_name, key_hash) do update set
    error_code = excluded.error_code, error_detail = excluded.error_detail, sqlstate = excluded.sqlstate,
    attempts = r.attempts + 1, rejected_at = excluded.rejected_at
  returning attempts`;

/** A row that is refused in earnest costs so many more tries while a backlog is worked off. */
const MOST_ATTEMPTS = 3;

/**
 * @param mayPass the batch left newer changes out
 */
export async function park(
  source: Connection,
  lane: Lane,
  { plan, key, error }: RefusedRow,
  mayPass: boolean,
): Promise<void> {
  const { code, detail = '', sqlstate } = error;
  const { attempts } = await source.row<{ attempts: number }>(PARK, [
    lane.sync,
    lane.destination,
    plan.schema,
    plan.table,
    key,
    code,
    detail,
    sqlstate,
  ]);
  if (mayPass && attempts <= MOST_ATTEMPTS) await source.run(pendAgain(plan), [key]);
}

/** $1 the key. Its delta gets an id beyond everything that any batch has seen; every lane of the table reads it once more. */
function pendAgain({ deltaName, key, source }: RelationPlan): string {
  const names = key.map(({ name }) => quoteIdentifier(name)).join(', ');
  const values = key
    .map(({ name }, position) => {
      const type = source.columns.find((column) => column.name === name)?.castType ?? 'text';
      return `($1::text[])[${position + 1}]::${type}`;
    })
    .join(', ');
  return `insert into ${quoteDelta(deltaName)} (${names}, txntime) values (${values}, bucardo.tick())`;
}
