/**
 * Brings a relation's changes into the destination's session, by the way that suits their size: few rows as arrays in
 * the statement's parameters, many as COPY into a temporary table that ends with the transaction.
 */
import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import type { Column } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import { type Field, parseCopyText, type Prefix, readPrefix } from '../../postgres/copy-text.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { qualifyType } from '../../postgres/type-names.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { RelationChanges } from '../target.ts';
import { stagePacked } from './packed-stage.ts';
import { changeColumns } from './statements.ts';

/** Above this many keys arrays are not tried: measured, COPY wins from one to two thousand rows on. */
export const SMALL_ROWS = 1_000;

/** Of one table. Source: MaxHeapAttributeNumber in Postgres. */
const MOST_COLUMNS = 1_600;

/** Above this many bytes a batch is staged, however few rows it has: it need not fit into this process. */
const SMALL_BYTES = 1_048_576;

/** Rows in the session: a `from`-item in parentheses, whose columns have the target's names and types. */
export interface Part {
  readonly from: string;
  readonly values: readonly unknown[];
  /** Known to be empty, so that no statement is needed. */
  readonly empty: boolean;
}

export interface Incoming {
  readonly plan: RelationPlan;
  /** Keys whose row is gone. Only the key's columns. */
  readonly gone: Part;
  /** Rows as they are now. */
  readonly present: Part;
}

/** @param position tells the temporary tables of one transaction apart */
export async function loadChanges(
  db: Connection,
  changes: RelationChanges,
  position: number,
): Promise<Incoming> {
  // One more column, the flag, has to fit in.
  if (changes.plan.exactKey || changeColumns(changes.plan).length >= MOST_COLUMNS)
    return await packChanges(db, changes, position);
  if (changes.estimatedRows > SMALL_ROWS) return await stageChanges(db, changes, position);
  const prefix = await readPrefix(changes.changes(), SMALL_BYTES);
  // Bytes that are no characters ("char" above 127, before Postgres 16) would not survive being a string.
  if (prefix.whole && isUtf8(prefix.bytes)) return asArrays(changes.plan, parseCopyText(prefix.bytes));
  return await stageChanges(db, changes, position, prefix);
}

/** The distinct keys in a temporary table. */
export async function stageKeys(db: Connection, changes: RelationChanges, position: number): Promise<Part> {
  const columns = changes.plan.key.map(({ target }) => target);
  const table = await createStage(db, `keys ${position}`, columns.map(columnDefinition));
  await db.copyIn(`copy ${table} from stdin`, changes.keys());
  return { from: `(select ${renamed(columns)} from ${table})`, values: [], empty: false };
}

async function packChanges(db: Connection, changes: RelationChanges, position: number): Promise<Incoming> {
  const stage = await stagePacked(db, changes, position);
  const part = (kind: 'gone' | 'present'): Part => ({
    from: stage.all(kind),
    values: [],
    empty: stage[kind] === 0,
  });
  return { plan: changes.plan, gone: part('gone'), present: part('present') };
}

/** @param prefix what was read already */
async function stageChanges(
  db: Connection,
  changes: RelationChanges,
  position: number,
  prefix?: Prefix,
): Promise<Incoming> {
  const { plan } = changes;
  const columns = changeColumns(plan);
  const table = await createStage(db, `changes ${position}`, [
    'gone boolean',
    ...columns.map(columnDefinition),
  ]);
  const stream =
    prefix === undefined ? changes.changes() : Readable.from(wholeOf(prefix), { objectMode: false });
  await db.copyIn(`copy ${table} from stdin`, stream);
  const part = (which: readonly Column[], condition: string): Part => ({
    from: `(select ${renamed(which)} from ${table} where ${condition})`,
    values: [],
    empty: false,
  });
  return { plan, gone: part(columns.slice(0, plan.key.length), 'gone'), present: part(columns, 'not gone') };
}

function asArrays(plan: RelationPlan, lines: readonly (readonly Field[])[]): Incoming {
  const columns = changeColumns(plan);
  const part = (which: readonly Column[], flag: string): Part => {
    const rows = lines.filter(([gone]) => gone === flag);
    const arrays = which.map((_, index) => `pg_catalog.unnest($${index + 1}::pg_catalog.text[])`).join(', ');
    const names = which.map((_, index) => `c${index}`).join(', ');
    return {
      from: `(select ${castFromText(which)} from rows from (${arrays}) as u(${names}))`,
      values: which.map((_, index) => rows.map((row) => row[index + 1] ?? null)),
      empty: rows.length === 0,
    };
  };
  return { plan, gone: part(columns.slice(0, plan.key.length), 't'), present: part(columns, 'f') };
}

/** Column names are by position: no user's column can collide with ours. */
async function createStage(db: Connection, name: string, definitions: readonly string[]): Promise<string> {
  const table = `pg_temp.${quoteIdentifier(`bucardo ${name}`)}`;
  await db.script(`create temporary table ${table} (${definitions.join(', ')}) on commit drop`);
  return table;
}

/** The table's own columns judge lengths and domains: a key whose row is gone has NULL in all others. */
function columnDefinition({ baseType, collate }: Column, index: number): string {
  return `c${index} ${qualifyType(baseType)}${collate}`;
}

function renamed(columns: readonly Column[]): string {
  return columns.map(({ name }, index) => `c${index} as ${quoteIdentifier(name)}`).join(', ');
}

/** Text into the target's types without cutting anything off: the cast has no length, the table's column then judges. */
function castFromText(columns: readonly Column[]): string {
  return columns
    .map(({ name, baseType }, index) => `c${index}::${qualifyType(baseType)} as ${quoteIdentifier(name)}`)
    .join(', ');
}

async function* wholeOf(prefix: Prefix): AsyncGenerator<Buffer> {
  yield prefix.bytes;
  if (prefix.whole) return;
  for (;;) {
    const next = await prefix.rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}
