/**
 * The three questions that a destination may ask about a relation's pending keys, as COPY statements for the source. All run
 * in the batch's snapshot, so they agree with each other. Key lists and rows never visit this process as anything but
 * a COPY's bytes in passing. Keys and changes come in key order: the destination then finds neighbours together (measured: deleting
 * by sorted keys takes 0.6 times as long), and locks rows in the same order as everybody. Rows come as the source has
 * them: sorting these gained nothing.
 */
import type { Readable } from 'node:stream';
import { deltaColumnNames } from '../capture/key-column.ts';
import type { Connection } from '../postgres/connection.ts';
import { ownRows } from '../postgres/catalog.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import type { Txid, Snapshot } from '../postgres/snapshot.ts';
import type { RefusedRow, RelationChanges, RowFormat } from '../targets/target.ts';
import { type Boundary, keyAfter, keyOrder, keyUpTo, type OrderedKeyColumn } from './key-range.ts';
import { pendingDeltas } from './pending.ts';
import type { Way } from './large-transaction.ts';
import type { RelationPlan } from './relation-plan.ts';
import { findUnreadableRows, isNotAmong, type Reading, withoutKeys } from './unreadable-rows.ts';

export interface PendingRelation {
  readonly plan: RelationPlan;
  readonly mark: Snapshot;
  readonly cut: Txid | undefined;
  /** Deltas in the batch, an upper bound of its keys. */
  readonly deltas: number;
  /** While the table is being copied: only keys up to here; the copy brings the others as they are then. */
  readonly upTo: Boundary | undefined;
  /** Of a transaction that is delivered in parts: which of its deltas, and which of their keys. */
  readonly part?: { readonly condition: string; readonly way: Way } | undefined;
}

/**
 * @param source in the batch's transaction; one stream at a time
 * @param ahead a second session with the same snapshot, which can read rows while `source` reads keys
 */
export function readPending(
  source: Connection,
  pending: PendingRelation,
  ahead: Connection | undefined,
): RelationChanges {
  const { plan, deltas } = pending;
  const keys = distinctKeys(pending);
  const order = ` order by ${keyOrder('d', orderedKey(plan))}`;
  const rows = (format: RowFormat): string =>
    `copy (${joined(plan, keys, 'join', written(plan))}) to stdout (format ${format})`;
  return {
    plan,
    estimatedRows: deltas,
    keys: () => source.copyOut(`copy (${keys} order by ${keyOrder('d', orderedKey(plan))}) to stdout`),
    rows: (format) => source.copyOut(rows(format)),
    rowsAhead: ahead === undefined ? undefined : (format) => ahead.copyOut(rows(format)),
    changes: () => source.copyOut(`copy (${changesOf(pending, keys, flagged(plan), order)}) to stdout`),
    ...readingCarefully(
      source,
      {
        plan,
        keys,
        order: orderedKey(plan),
        rowsOf: (some) => changesOf(pending, some, packed(plan)),
      },
      (left) => changesOf(pending, withoutKeys(plan, keys, left), packed(plan)),
    ),
  };
}

function changesOf({ plan, part }: PendingRelation, keys: string, list: string, order = ''): string {
  if (part?.way === 'present') return joined(plan, keys, 'join', list, order);
  // A key that is written differently now is gone and there at once, and the target has to see both.
  const gone = part?.way === 'gone' && !plan.exactKey ? ' where t.tableoid is null' : '';
  return joined(plan, keys, 'left join', list, order, gone);
}

/** Rows of a range of keys, for the first copy: no deltas are involved. */
export function readRange(
  source: Connection,
  plan: RelationPlan,
  range: {
    readonly after: Boundary | undefined;
    readonly upTo: Boundary | undefined;
    readonly estimatedRows: number;
  },
): RelationChanges {
  const conditions = [
    ...(range.after === undefined ? [] : [keyAfter('t', orderedKey(plan), range.after)]),
    ...(range.upTo === undefined ? [] : [keyUpTo('t', orderedKey(plan), range.upTo)]),
  ];
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
  const select = (list: string, format: RowFormat = 'text'): Readable =>
    source.copyOut(`copy (select ${list} from ${sourceTable(plan)} t ${where}) to stdout (format ${format})`);
  const key = plan.key.map(({ name }) => `t.${quoteIdentifier(name)}`);
  return {
    plan,
    estimatedRows: range.estimatedRows,
    rowsAhead: undefined,
    keys: () => select(key.join(', ')),
    rows: (format) => select(written(plan), format),
    changes: () => select(['false', ...key, ...payload(plan)].join(', ')),
    ...readingCarefully(
      source,
      {
        plan,
        keys: `select distinct ${key.join(', ')} from ${sourceTable(plan)} t ${where}`,
        order: orderedKey(plan),
        rowsOf: (some) => joined(plan, some, 'join', packed(plan)),
      },
      (left) => {
        const all = [...conditions, ...(left.length === 0 ? [] : [isNotAmong(plan, 't', left)])];
        const which = all.length === 0 ? '' : `where ${all.join(' and ')}`;
        return `select ${['false', ...key, packedRow(plan)].join(', ')} from ${sourceTable(plan)} t ${which}`;
      },
    ),
  };
}

/** @param query what is sent without the rows that cannot be */
function readingCarefully(
  source: Connection,
  reading: Reading,
  query: (left: readonly RefusedRow[]) => string,
): Pick<RelationChanges, 'packed' | 'leaveOutUnreadable'> {
  let left: readonly RefusedRow[] = [];
  return {
    async packed() {
      await source.script('savepoint reading');
      return source.copyOut(`copy (${query(left)}) to stdout`);
    },
    async leaveOutUnreadable(most) {
      await source.script('rollback to savepoint reading');
      left = await findUnreadableRows(source, reading, most);
      return left;
    },
  };
}

/** Columns of the key with what their order needs. */
export function orderedKey(plan: RelationPlan): readonly OrderedKeyColumn[] {
  return plan.key.map(({ name, equals, less }) => ({
    name,
    equals,
    less,
    type: plan.source.columns.find((column) => column.name === name)?.type ?? 'text',
  }));
}

/** The table itself and not its inheritance children. */
export function sourceTable({ source }: RelationPlan): string {
  return ownRows(source);
}

function distinctKeys({ plan, mark, cut, upTo, part }: PendingRelation): string {
  const columns = plan.key.map(({ name }) => `d.${quoteIdentifier(name)}`).join(', ');
  const within = upTo === undefined ? '' : ` where ${keyUpTo('d', orderedKey(plan), upTo)}`;
  const deltas = pendingDeltas({ deltaName: plan.deltaName, mark, cut, part: part?.condition });
  const from = `from ${readKeys(plan, deltas)} d${within}`;
  const distinct = `select distinct ${columns} ${from}`;
  return plan.exactKey ? exactKeys(plan, `select ${columns} ${from}`, distinct) : distinct;
}

/**
 * `from`-item of the keys in `deltas`, with the names, types and collations that they have in their table; of a domain its base,
 * whose constraints are for values to come. A key without a value for what cannot be NULL was not captured, which is recorded
 * elsewhere.
 */
function readKeys({ key, source }: RelationPlan, deltas: string): string {
  const deltaColumns = deltaColumnNames(key.map(({ name }) => name));
  const columns = key.map(({ name, nullable }, position) => {
    const column = source.columns.find((candidate) => candidate.name === name);
    const delta = `p.${quoteIdentifier(deltaColumns[position] ?? name)}`;
    const value = `${delta}::${column?.baseType ?? 'text'}${column?.baseCollate ?? ''}`;
    return { value: `${value} as ${quoteIdentifier(name)}`, given: nullable ? [] : [`${delta} is not null`] };
  });
  const given = columns.flatMap((column) => column.given);
  const where = given.length === 0 ? '' : ` where ${given.join(' and ')}`;
  return `(select ${columns.map(({ value }) => value).join(', ')} from ${deltas} p${where})`;
}

/**
 * Keys that are equal to the source and yet differ are each of them a key; and so is what is there now in their place, so
 * that a target which takes both for one key knows that its row stays. Names by position: no column of the key can have the same.
 */
function exactKeys(plan: RelationPlan, keys: string, distinct: string): string {
  const names = plan.key.map(({ name }) => quoteIdentifier(name));
  const places = names.map((_, index) => `k${index}`);
  const texts = names.map((_, index) => `t${index}`);
  const columns = names.map((name) => `d.${name}`);
  return `
    select ${names.map((name, index) => `k${index} as ${name}`).join(', ')}
    from (
      select distinct ${columns.join(', ')}, ${columns.map(textOf).join(', ')}
      from (
        ${keys}
        union all
        select ${names.map((name) => `t.${name}`).join(', ')}
        from (${distinct}) d join ${sourceTable(plan)} t on ${plan.nullableKey ? equalSets(plan) : equalKeys(plan)}
      ) d
    ) x(${[...places, ...texts].join(', ')})`;
}

/** As COPY writes it, compared by its bytes. */
function textOf(column: string): string {
  return `format('%s', ${column}) collate "C"`;
}

/** The source's own equality of `t` and `d`. */
function equalKeys({ key }: RelationPlan): string {
  return key
    .map(({ name, equals }) => `t.${quoteIdentifier(name)} ${equals} d.${quoteIdentifier(name)}`)
    .join(' and ');
}

/** As above, and NULL equals NULL. */
function equalSets({ key }: RelationPlan): string {
  return key
    .map(({ name }) => `array[t.${quoteIdentifier(name)}] = array[d.${quoteIdentifier(name)}]`)
    .join(' and ');
}

/**
 * Keys joined to their current rows. Keys with a NULL are joined apart from the others: NULL equals NULL there, which arrays
 * compare so, and the plain equality of the rest can use the index.
 */
function joined(
  plan: RelationPlan,
  keys: string,
  join: 'join' | 'left join',
  list: string,
  order = '',
  where = '',
): string {
  const select = `select ${list} from`;
  const table = `${join} ${sourceTable(plan)} t on`;
  const sameText = plan.exactKey
    ? plan.key
        .map(({ name }) => quoteIdentifier(name))
        .map((c) => ` and ${textOf(`t.${c}`)} = ${textOf(`d.${c}`)}`)
        .join('')
    : '';
  const equal = `${equalKeys(plan)}${sameText}`;
  if (!plan.nullableKey) return `${select} (${keys}) d ${table} ${equal}${where}${order}`;
  const anyNull = plan.key.map(({ name }) => `k.${quoteIdentifier(name)} is null`).join(' or ');
  const same = `${equalSets(plan)}${sameText}`;
  return `
    ${select} (select * from (${keys}) k where not (${anyNull})) d ${table} ${equal}${where}
    union all
    ${select} (select * from (${keys}) k where ${anyNull}) d ${table} ${same}${where}`;
}

/** Exactly the columns that are written, in the plan's order. */
function written(plan: RelationPlan): string {
  return plan.columns.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ');
}

/** Whether the row is gone, its key, then the other columns. */
function flagged(plan: RelationPlan): string {
  return ['t.tableoid is null', ...currentKey(plan), ...payload(plan)].join(', ');
}

/** As above, but the other columns are one: the text form of a row of them. */
function packed(plan: RelationPlan): string {
  const row = `case when t.tableoid is not null then ${packedRow(plan)} end`;
  return ['t.tableoid is null', ...currentKey(plan), row].join(', ');
}

function packedRow(plan: RelationPlan): string {
  const others = payload(plan);
  return others.length === 0 ? 'null::text' : `row(${others.join(', ')})::text`;
}

/** A key that is still there is given as the row has it. */
function currentKey(plan: RelationPlan): readonly string[] {
  return plan.key.map(({ name }) => {
    const column = quoteIdentifier(name);
    return `case when t.tableoid is null then d.${column} else t.${column} end`;
  });
}

function payload(plan: RelationPlan): readonly string[] {
  const keyNames = new Set(plan.key.map(({ name }) => name));
  return plan.columns
    .filter(({ name }) => !keyNames.has(name))
    .map(({ name }) => `t.${quoteIdentifier(name)}`);
}
