/**
 * Rows that the source cannot send: their text form is larger than a gigabyte, or what is stored of a value is damaged. One of them
 * ends the whole COPY, and nothing says which it was. So ever smaller parts of the keys are read, to no purpose but
 * to see whether they can be. All in the batch's transaction, whose snapshot must not be lost: each try has a savepoint.
 */
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { scopeOf } from '../postgres/error-scope.ts';
import { displayRelation, quoteIdentifier, quoteLiteral } from '../postgres/identifiers.ts';
import type { RefusedRow } from '../targets/target.ts';
import { findFailures, type Selection, TooManyFailures } from './bisect.ts';
import { keyOrder, type OrderedKeyColumn } from './key-range.ts';
import type { RelationPlan } from './relation-plan.ts';

export interface Reading {
  readonly plan: RelationPlan;
  /** Query of all distinct keys. */
  readonly keys: string;
  readonly order: readonly OrderedKeyColumn[];
  /** Query of what is sent for some keys. */
  readonly rowsOf: (keys: string) => string;
}

/**
 * @param source in a transaction
 * @param most more unreadable rows than this, and the error is thrown that one of them gave
 */
export async function findUnreadableRows(
  source: Connection,
  reading: Reading,
  most: number,
): Promise<readonly RefusedRow[]> {
  const { plan, keys } = reading;
  const { count } = await source.row<{ count: string }>(`select count(*) as count from (${keys}) d`);
  const attempt = (part: Selection): Promise<BucardoError | undefined> => tryReading(source, reading, part);
  const failures = await findFailures({ from: 1, to: Number(count) }, attempt, most).catch((error) => {
    throw error instanceof TooManyFailures ? asBucardoError(error.reason) : error;
  });
  const rows: RefusedRow[] = [];
  for (const { n, reason } of failures) {
    const { key } = await source.row<{ key: (string | null)[] }>(
      `select array[${keyTexts(plan, 'd').join(', ')}] as key from (${numbered(reading, n, n)}) d`,
    );
    const error = new BucardoError('BUC-ROW-UNREADABLE', {
      database: source.database,
      relation: displayRelation(plan),
      detail: reason.detail,
      sqlstate: reason.sqlstate,
    });
    rows.push({ plan, key, error });
  }
  return rows;
}

/** The keys without those of rows that cannot be read. */
export function withoutKeys(plan: RelationPlan, keys: string, left: readonly RefusedRow[]): string {
  if (left.length === 0) return keys;
  return `select d.* from (${keys}) d where ${isNotAmong(plan, 'd', left)}`;
}

/** @param alias of what has the key's columns */
export function isNotAmong(plan: RelationPlan, alias: string, rows: readonly RefusedRow[]): string {
  const taken = rows.map(({ key }) => {
    const fields = key.map((field) => (field === null ? 'null' : quoteLiteral(field)));
    return `array[${fields.join(', ')}]::text[]`;
  });
  return `array[${keyTexts(plan, alias).join(', ')}] not in (${taken.join(', ')})`;
}

/** As COPY writes them. */
function keyTexts({ key }: RelationPlan, alias: string): readonly string[] {
  return key
    .map(({ name }) => `${alias}.${quoteIdentifier(name)}`)
    .map((column) => `case when ${column} is not null then format('%s', ${column}) end`);
}

/** Keys by their place in the key's order. Ours has a name by position: no column of a key can have the same. */
function numbered({ plan, keys, order }: Reading, from: number, to: number): string {
  const columns = plan.key.map(({ name }) => quoteIdentifier(name));
  const places = columns.map((_, index) => `k${index}`);
  return `
    select ${columns.map((column, index) => `k${index} as ${column}`).join(', ')}
    from (
      select row_number() over (order by ${keyOrder('d', order)}), ${columns.map((column) => `d.${column}`).join(', ')}
      from (${keys}) d
    ) x(n, ${places.join(', ')})
    where n between ${from} and ${to}`;
}

async function tryReading(
  source: Connection,
  reading: Reading,
  part: Selection,
): Promise<BucardoError | undefined> {
  if ('numbers' in part) throw new RangeError('keys are read by ranges');
  await source.script('savepoint part');
  try {
    const rows = source.copyOut(`copy (${reading.rowsOf(numbered(reading, part.from, part.to))}) to stdout`);
    for await (const chunk of rows) void chunk;
    await source.script('release savepoint part');
    return undefined;
  } catch (thrown) {
    const error = asBucardoError(thrown);
    if (scopeOf(error) !== 'row') throw error;
    await source.script('rollback to savepoint part; release savepoint part');
    return error;
  }
}
