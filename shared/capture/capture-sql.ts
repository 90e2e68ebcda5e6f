/**
 * What is created for one relation: its delta table, one trigger function and the triggers that call it. Invariant: every
 * row that an application changes leaves its key in the delta table, in the application's own transaction.
 *
 * The order inside the function is the wake-up protocol's: deltas first (which assigns the transaction's id), then the
 * flag is read, then perhaps NOTIFY. A statement that touches no row gets neither an id nor a NOTIFY.
 *
 * What it costs, of the rate of single-row inserts by 16 clients on two shared cores: this 20 to 23 %; a row trigger 22 %; with
 * its conditions asked one by one 23 to 25 %; with Bucardo's NOTIFY in each statement 75 %. The pinned search_path and the index
 * make no difference that shows. One function serves all statements: Postgres compiles it
 * per trigger, so `changed_rows` may stand for old rows here and new rows there.
 */
import { quoteIdentifier, quoteLiteral, quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import { captureFunctionName, relationHash, txidIndexName } from './delta-name.ts';
import { CAPTURE_MARKER } from './capture-version.ts';
import { CLOCK_FLOOR, WAKE_CHANNEL } from './control-schema.ts';

export type CaptureLevel = 'statement' | 'row';

/** A key column as the delta table has it. */
export interface DeltaColumn {
  readonly name: string;
  /** Without length or precision: widening `varchar(20)` must not make the application's writes fail until `apply` has run. */
  readonly type: string;
  /** `collate …` clause or empty. */
  readonly collate: string;
}

export interface CaptureSpec extends RelationName {
  readonly deltaName: string;
  readonly key: readonly DeltaColumn[];
  readonly capture: CaptureLevel;
  /** Triggers also fire in the replica role: a subscription writes the table. */
  readonly always: boolean;
  /** Partitions at all levels, which TRUNCATE may name. Empty unless partitioned. */
  readonly partitions: readonly RelationName[];
  readonly wake: 'notify' | 'poll';
}

export interface CaptureTrigger {
  readonly name: string;
  readonly on: RelationName;
  /** Created with an argument, by which the function knows that it is not called for a statement's rows. */
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

/** Locks nothing that an application uses. Leading columns as in Bucardo: the key, then `txntime`. */
export function deltaTableSql({ deltaName, key }: CaptureSpec): readonly string[] {
  const columns = key.map(({ name, type, collate }) => `${quoteIdentifier(name)} ${type}${collate},\n  `);
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
  return [
    `create or replace function ${name}() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as ${quoteLiteral(captureFunctionBody(spec))}`,
    `revoke all on function ${name}() from public`,
  ];
}

/** The function's source exactly as pg_proc.prosrc has it, for comparison. */
export function captureFunctionBody(spec: CaptureSpec): string {
  return spec.capture === 'statement' ? statementBody(spec) : rowBody(spec);
}

/**
 * `txid_current()` stands in the select list, so no row means no id. The clock's tick draws an id too, hence the look
 * for rows before it. A changed key is logged by the trigger for each row, whose condition is in the trigger.
 *
 * plpgsql prepares every expression anew in each transaction, so one condition asks for all that is unusual: a trigger with
 * an argument (TRUNCATE, a changed key), a lane's own writes, a clock that is behind. Asked one by one, these cost a single-row
 * insert by 16 clients 2 to 4 % more of its rate; an `exists` among them would make the condition a query.
 */
function statementBody(spec: CaptureSpec): string {
  const delta = quoteDelta(spec.deltaName);
  return `
${CAPTURE_MARKER}
declare
  stamp timestamptz := clock_timestamp();
begin
  if tg_nargs > 0 or current_setting('bucardo.applying', true) = 'on' or stamp <= ${CLOCK_FLOOR} then
    if current_setting('bucardo.applying', true) = 'on' then return null; end if;
    if tg_op = 'TRUNCATE' then
      ${truncationSql(spec)}
${wakeSql(spec)}      return null;
    elsif tg_level = 'ROW' then
      insert into ${delta} (${columns(spec)}, txntime, txid)
        values (${columns(spec, 'new')}, bucardo.tick(), txid_current());
${wakeSql(spec)}      return null;
    elsif exists (select from changed_rows) then
      stamp := bucardo.tick();
    end if;
  end if;
  insert into ${delta} (${columns(spec)}, txntime, txid)
    select ${columns(spec, 'r')}, stamp, txid_current() from changed_rows r;
${wakeSql(spec)}  return null;
end
`;
}

/** Fires only for rows that were changed. */
function rowBody(spec: CaptureSpec): string {
  const insert = (row: 'old' | 'new') =>
    `insert into ${quoteDelta(spec.deltaName)} (${columns(spec)}, txntime, txid)
      values (${columns(spec, row)}, stamp, txid_current());`;
  return `
${CAPTURE_MARKER}
declare
  stamp timestamptz := clock_timestamp();
begin
  if current_setting('bucardo.applying', true) = 'on' then return null; end if;
  if tg_op = 'TRUNCATE' then
    ${truncationSql(spec)}
${wakeSql(spec)}    return null;
  end if;
  if stamp <= ${CLOCK_FLOOR} then stamp := bucardo.tick(); end if;
  if tg_op = 'INSERT' then
    ${insert('new')}
  elsif tg_op = 'DELETE' then
    ${insert('old')}
  else
    ${insert('old')}
    if ${keyChanged(spec)} then
    ${insert('new')}
    end if;
  end if;
${wakeSql(spec)}  return null;
end
`;
}

/** Idempotent within a transaction: a TRUNCATE of a partitioned table fires at every partition. */
function truncationSql({ schema, table }: RelationName): string {
  return `insert into bucardo.truncation (schema_name, table_name, txntime)
      values (${quoteLiteral(schema)}, ${quoteLiteral(table)}, bucardo.tick()) on conflict do nothing;`;
}

/** A transaction that has notified cannot be prepared for two-phase commit, so `poll` has no NOTIFY at all. */
function wakeSql({ wake }: CaptureSpec): string {
  if (wake === 'poll') return '';
  return `  if found and pg_sequence_last_value('bucardo.wake') is distinct from 0 then
    perform pg_notify('${WAKE_CHANNEL}', 'wake');
  end if;
`;
}

/**
 * Compares images, not values: right for NULL, for types whose `=` is not in pg_catalog (citext, hstore) and for
 * collations in which different texts are equal. It may only err towards logging a key too many.
 */
function keyChanged(spec: CaptureSpec): string {
  return `record_image_ne(row(${columns(spec, 'old')}), row(${columns(spec, 'new')}))`;
}

function columns({ key }: CaptureSpec, row?: string): string {
  return key.map(({ name }) => `${row === undefined ? '' : `${row}.`}${quoteIdentifier(name)}`).join(', ');
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
            rare: false,
            sql: `create trigger ${TRIGGER_PREFIX}update after update on ${table}
  referencing old table as changed_rows for each statement ${call}`,
          },
          {
            name: `${TRIGGER_PREFIX}delete`,
            on,
            rare: false,
            sql: `create trigger ${TRIGGER_PREFIX}delete after delete on ${table}
  referencing old table as changed_rows for each statement ${call}`,
          },
          {
            name: `${TRIGGER_PREFIX}key`,
            on,
            rare: true,
            sql: `create trigger ${TRIGGER_PREFIX}key after update on ${table}
  for each row when (${keyChanged(spec)}) ${callRarely}`,
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
