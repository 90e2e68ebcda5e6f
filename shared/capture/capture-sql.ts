/**
 * What is created for one relation: its delta table, one trigger function and the triggers that call it. Invariants: every
 * row that an application changes leaves its key in the delta table, in the application's own transaction; and no statement of the
 * application fails for it, whatever has become of the table since.
 *
 * The order inside the function is the wake-up protocol's: deltas first (which assigns the transaction's id), then the
 * flag is read, then perhaps NOTIFY. A statement that touches no row gets neither an id nor a NOTIFY.
 *
 * The function runs under the application's search_path: pinning one costs a quarter of what capture takes of a single-row insert. So each name
 * is qualified: functions, operators, types, tables; there is no cast, whose function might be anybody's; and transition tables
 * come before all tables of their name. One function serves all statements: Postgres compiles it per trigger, so `changed_rows`
 * may stand for old rows here and new rows there.
 *
 * Names of columns of the table appear in one place only, `keysOf`, whose header says why they meet nothing.
 */
import type { Wake } from '../config/types.ts';
import { quoteIdentifier, quoteLiteral, quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import { CAPTURE_MARKER } from './capture-version.ts';
import { WAKE_CHANNEL } from './control-schema.ts';
import { captureFunctionName, relationHash, txidIndexName } from './delta-name.ts';
import type { CapturedColumn } from './key-column.ts';
import { outputSettings } from './output-settings.ts';

export type CaptureLevel = 'statement' | 'row';

export interface CaptureSpec extends RelationName {
  readonly oid: number;
  readonly deltaName: string;
  readonly key: readonly CapturedColumn[];
  readonly capture: CaptureLevel;
  /** Triggers also fire in the replica role: a subscription writes the table. */
  readonly always: boolean;
  /** Partitions at all levels, which TRUNCATE may name. Empty unless partitioned. */
  readonly partitions: readonly RelationName[];
  readonly wake: Wake;
}

export interface CaptureTrigger {
  readonly name: string;
  readonly on: RelationName;
  /** Created with an argument, by which the function knows that it is not called for inserted or deleted rows. */
  readonly rare: boolean;
  readonly sql: string;
}

/** Ours alone: Bucardo's are `bucardo_delta`, `bucardo_kick_…` and `bucardo_note_trunc_…`. */
export const TRIGGER_PREFIX = 'bucardo_capture_';

export function quoteDelta(deltaName: string): string {
  return `bucardo.${quoteIdentifier(deltaName)}`;
}

export function quoteCaptureFunction(deltaName: string): string {
  return `bucardo.${quoteIdentifier(captureFunctionName(deltaName))}`;
}

/**
 * Locks nothing that an application uses. Leading columns as in Bucardo: the key, then `txntime`. Keys are text, whatever they
 * are in their table: so a key column may get any type, and a type, a domain or an extension may be changed or dropped, without
 * asking the delta table.
 */
export function deltaTableSql({ deltaName, key }: Pick<CaptureSpec, 'deltaName' | 'key'>): readonly string[] {
  const columns = key.map(({ deltaColumn }) => `${quoteIdentifier(deltaColumn)} text,\n  `);
  const table = quoteDelta(deltaName);
  return [
    `create table ${table} (
  ${columns.join('')}txntime timestamptz not null default bucardo.tick(),
  txid bigint not null default txid_current(),
  author text
)`,
    `create index ${quoteIdentifier(txidIndexName(deltaName))} on ${table} (txid)`,
  ];
}

/** `security definer`: a role that may write the table needs no right on schema bucardo. */
export function captureFunctionSql(spec: CaptureSpec): readonly string[] {
  const name = quoteCaptureFunction(spec.deltaName);
  const settings = outputSettings(spec.key.map(({ type }) => type));
  const pinned = settings.map(([setting, value]) => `\nset ${setting} = ${quoteLiteral(value)}`);
  return [
    `create or replace function ${name}() returns trigger
language plpgsql security definer${pinned.join('')}
as ${quoteLiteral(captureFunctionBody(spec))}`,
    `revoke all on function ${name}() from public`,
  ];
}

/**
 * The function's source exactly as pg_proc.prosrc has it, for comparison. It names what the function pins, so that comparing
 * the source is enough.
 */
export function captureFunctionBody(spec: CaptureSpec): string {
  const pinned = outputSettings(spec.key.map(({ type }) => type)).map(([setting]) => setting);
  return `
${CAPTURE_MARKER}
${pinned.length === 0 ? '' : `-- pins ${pinned.join(', ')}\n`}#variable_conflict use_column
${spec.capture === 'statement' ? statementBody(spec) : rowBody(spec)}`;
}

/**
 * `txid_current()` stands in the select list, so no row means no id. `statement_timestamp()` costs nothing; a clock that is read
 * for every row takes a twelfth of the time of a bulk insert, and nothing depends on times that follow the order of row locks as long
 * as there is one source.
 *
 * plpgsql prepares every expression anew in each transaction (1 µs), so one condition asks for all that is unusual: a trigger
 * with an argument (TRUNCATE, UPDATE), a lane's own writes.
 */
function statementBody(spec: CaptureSpec): string {
  return `begin
  if tg_nargs operator(pg_catalog.>) 0 or ${APPLYING} then
    if ${APPLYING} then return null; end if;
    if tg_op operator(pg_catalog.=) 'TRUNCATE' then
      ${truncationSql(spec)}
    else
      ${insertInto(spec)}
        select ${outputs(spec, (c) => `coalesce(o.${c}, n.${c})`)}, ${VERSION}
        from ${updatedKeys(spec)};
    end if;
  else
    ${insertInto(spec)}
      select ${outputs(spec, (c) => `k.${c}`)}, ${VERSION}
      from ${missing(spec)} cross join changed_rows r cross join ${keysOf(spec, 'r.*')} k;
  end if;
${wakeSql(spec)}  return null;
end
`;
}

/** Fires only for rows that were changed. An UPDATE logs the new key too if it differs. */
function rowBody(spec: CaptureSpec): string {
  const insert = (row: 'old' | 'new') => `${insertInto(spec)}
      select ${outputs(spec, (c) => `k.${c}`)}, ${VERSION}
      from ${missing(spec)} cross join ${keysOf(spec, `${row}.*`)} k where ${followsTable(spec)};`;
  const same = spec.key.map(
    (_, i) => `(o.c${i} is null and n.c${i} is null or o.c${i} operator(pg_catalog.=) n.c${i})`,
  );
  return `begin
  if ${APPLYING} then return null; end if;
  if tg_op operator(pg_catalog.=) 'TRUNCATE' then
    ${truncationSql(spec)}
  elsif tg_op operator(pg_catalog.=) 'INSERT' then
    ${insert('new')}
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    ${insert('old')}
  else
    ${insertInto(spec)}
      select ${outputs(spec, (c) => `o.${c}`)}, ${VERSION}
      from ${missing(spec)} cross join ${keysOf(spec, 'old.*')} o where ${followsTable(spec)}
      union all
      select ${outputs(spec, (c) => `n.${c}`)}, ${VERSION}
      from ${missing(spec)} cross join ${keysOf(spec, 'old.*')} o cross join ${keysOf(spec, 'new.*')} n
      where (${same.join(' and ')}) is not true;
  end if;
${wakeSql(spec)}  return null;
end
`;
}

const APPLYING = `pg_catalog.current_setting('bucardo.applying', true) operator(pg_catalog.=) 'on'`;

/** When and in which transaction. */
const VERSION = `pg_catalog.statement_timestamp(), pg_catalog.txid_current()`;

function insertInto({ deltaName, key }: CaptureSpec): string {
  const columns = key.map(({ deltaColumn }) => quoteIdentifier(deltaColumn));
  return `insert into ${quoteDelta(deltaName)} (${[...columns, 'txntime', 'txid'].join(', ')})`;
}

function outputs({ key }: CaptureSpec, output: (column: string) => string): string {
  return key.map((_, index) => output(`c${index}`)).join(', ');
}

/**
 * `from`-item of a row's key as text: columns c0, c1, … by each type's own output function, which no cast of a user's can replace.
 *
 * A column's bare name means the column of `row`, which is the only relation in its own scope and has nothing but columns of the
 * table. If there is none of that name any more, the name means the one of `missing`, a scope further out, so the statement goes
 * on. A variable of plpgsql (found, new, tg_op) gives way to both: `#variable_conflict use_column`. Postgres flattens all of it
 * when it plans: at run time nothing is left of it.
 *
 * @param row `r.*`, `old.*`
 */
function keysOf({ key }: CaptureSpec, row: string): string {
  const texts = key.map(({ name }, index) => {
    const column = quoteIdentifier(name);
    return `case when ${column} is distinct from null then pg_catalog.concat(${column}) end as c${index}`;
  });
  return `lateral (select ${texts.join(', ')} from (select ${row}) x)`;
}

/** `from`-item of one row that stands in for key columns which are gone: asking it records that changes were not captured. */
function missing({ schema, table, key }: CaptureSpec): string {
  const record = `(select bucardo.uncaptured(${quoteLiteral(schema)}, ${quoteLiteral(table)}))`;
  return `(select ${key.map(({ name }) => `${record} as ${quoteIdentifier(name)}`).join(', ')}) missing`;
}

/**
 * `from`-item of old keys `o` and new keys `n` of an UPDATE, side by side where they are the same. A full join is never a
 * nested loop, whatever number of rows the session's first UPDATE had, for which it is planned. NULL equals NULL in arrays. `offset 0` keeps
 * what is compared a column, also where it is missing: full joins need that.
 */
function updatedKeys(spec: CaptureSpec): string {
  const keys = (rows: string) =>
    `(select k.* from ${missing(spec)} cross join ${rows} r cross join ${keysOf(spec, 'r.*')} k offset 0)`;
  const nullable = spec.key.some((column) => column.nullable);
  const condition = nullable
    ? `array[${outputs(spec, (c) => `o.${c}`)}] operator(pg_catalog.=) array[${outputs(spec, (c) => `n.${c}`)}]`
    : spec.key.map((_, i) => `o.c${i} operator(pg_catalog.=) n.c${i}`).join(' and ');
  return `${keys('changed_rows')} o full join ${keys('new_rows')} n on ${condition}`;
}

/**
 * True. A plan that has it is made again when the table's definition changes: otherwise a session that has written before would meet
 * a key column whose type is not what it was. Needs no right on the table and takes no lock.
 */
function followsTable({ oid }: CaptureSpec): string {
  return `'${oid}'::pg_catalog.regclass is not null`;
}

/** Idempotent within a transaction: a TRUNCATE of a partitioned table fires at every partition. */
function truncationSql({ schema, table }: RelationName): string {
  return `insert into bucardo.truncation (schema_name, table_name, txntime)
        values (${quoteLiteral(schema)}, ${quoteLiteral(table)}, bucardo.tick()) on conflict do nothing;`;
}

/**
 * A transaction that has notified cannot be prepared for two-phase commit, so `poll` has no NOTIFY at all, and `auto` none where the
 * server allows prepared transactions. That is asked whenever it matters, and not by `apply`: a restart may change it.
 */
function wakeSql({ wake }: CaptureSpec): string {
  if (wake === 'poll') return '';
  const allowed =
    wake === 'auto'
      ? ` and pg_catalog.current_setting('max_prepared_transactions') operator(pg_catalog.=) '0'`
      : '';
  return `  if found and coalesce(pg_catalog.pg_sequence_last_value('bucardo.wake'), 1) operator(pg_catalog.<>) 0${allowed} then
    perform pg_catalog.pg_notify('${WAKE_CHANNEL}', 'wake');
  end if;
`;
}

/**
 * The triggers on the relation and, for TRUNCATE, on its partitions. `create trigger` locks the table against writers
 * (SHARE ROW EXCLUSIVE) until the transaction ends, and needs only the TRIGGER right.
 *
 * Row triggers of a partitioned table are cloned to its partitions, also to those attached later; a partition may be
 * captured as a relation of its own too. So every name that may be cloned carries the relation's hash.
 */
export function captureTriggers(spec: CaptureSpec): readonly CaptureTrigger[] {
  const capture = quoteCaptureFunction(spec.deltaName);
  const call = `execute function ${capture}()`;
  const callRarely = `execute function ${capture}('rare')`;
  const table = quoteRelation(spec);
  const hash = relationHash(spec);
  const on = { schema: spec.schema, table: spec.table };
  const row = `${TRIGGER_PREFIX}row_${hash}`;
  const changes: readonly CaptureTrigger[] =
    spec.capture === 'row'
      ? [
          {
            name: row,
            on,
            rare: false,
            sql: `create trigger ${row} after insert or update or delete on ${table} for each row ${call}`,
          },
        ]
      : [
          {
            name: `${TRIGGER_PREFIX}insert`,
            on,
            rare: false,
            sql: `create trigger ${TRIGGER_PREFIX}insert after insert on ${table}
  referencing new table as changed_rows for each statement ${call}`,
          },
          {
            name: `${TRIGGER_PREFIX}update`,
            on,
            rare: true,
            sql: `create trigger ${TRIGGER_PREFIX}update after update on ${table}
  referencing old table as changed_rows new table as new_rows for each statement ${callRarely}`,
          },
          {
            name: `${TRIGGER_PREFIX}delete`,
            on,
            rare: false,
            sql: `create trigger ${TRIGGER_PREFIX}delete after delete on ${table}
  referencing old table as changed_rows for each statement ${call}`,
          },
        ];
  const truncate = `${TRIGGER_PREFIX}truncate`;
  return [
    ...changes,
    {
      name: truncate,
      on,
      rare: true,
      sql: `create trigger ${truncate} after truncate on ${table} for each statement ${callRarely}`,
    },
    ...spec.partitions.map(({ schema, table: partition }) => ({
      name: `${truncate}_${hash}`,
      on: { schema, table: partition },
      rare: true,
      sql: `create trigger ${truncate}_${hash} after truncate on ${quoteRelation({ schema, table: partition })}
  for each statement ${callRarely}`,
    })),
  ];
}

/** Whether a trigger is there to see rows change; the others see TRUNCATE. */
export function seesRows(triggerName: string): boolean {
  return !triggerName.startsWith(`${TRIGGER_PREFIX}truncate`);
}
