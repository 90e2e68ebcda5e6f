/**
 * A lane whose source or destination has gone back in time, put right at the source. Each function is one transaction that may
 * be repeated: a run that dies after it finds the same again, or nothing to do.
 */
import { withCaptureLock } from '../capture/capture-lock.ts';
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import { formatSnapshot, intersect, parseSnapshot, type Snapshot } from '../postgres/snapshot.ts';
import type { LaneRow, Receipt } from '../targets/target.ts';
import { endLarge } from './large-record.ts';

interface LaneMarks {
  readonly mark: string | null;
  readonly relations: readonly (RelationName & {
    readonly held: boolean;
    readonly heldMark: string | null;
    /** The greatest id among the deltas that were purged. */
    readonly purgedTxid: string | null;
    /** The destination's transaction by which a copy wrote the table last. */
    readonly copied: string | null;
    /** A copy that is going to write the whole table, whatever the table has now. */
    readonly copying: boolean;
  })[];
}

/** $1 sync, $2 destination. One row; locks the lane's row until the commit. */
const READ_MARKS = `
  select p.mark::text as mark, (
    select coalesce(json_agg(json_build_object('schema', s.schema_name, 'table', s.table_name,
      'held', h.sync is not null, 'heldMark', h.mark::text, 'purgedTxid', r.purged_txid::text,
      'copied', l.write::text,
      'copying', coalesce(c.state = 'copying' or c.policy = 'always', false))), '[]')
    from bucardo.sync_relation s
    join bucardo.relation r using (schema_name, table_name)
    left join bucardo.held_relation h
      on (h.sync, h.destination, h.schema_name, h.table_name) = (p.sync, p.destination, s.schema_name, s.table_name)
    left join bucardo.last_copy l
      on (l.sync, l.destination, l.schema_name, l.table_name) = (p.sync, p.destination, s.schema_name, s.table_name)
    left join bucardo.copy c
      on (c.sync, c.destination, c.schema_name, c.table_name) = (p.sync, p.destination, s.schema_name, s.table_name)
    where s.sync = p.sync
  ) as relations
  from bucardo.progress p where (p.sync, p.destination) = ($1, $2) for update`;

/** What the destination has, as far as the source knows. */
export async function readReceipt(source: Connection, lane: Lane): Promise<Receipt> {
  const { mark, relations } = await source.row<LaneMarks>(READ_MARKS, [lane.sync, lane.destination]);
  const held = relations.flatMap((relation) =>
    relation.held ? [[displayRelation(relation), relation.heldMark ?? COVERS_NOTHING] as const] : [],
  );
  return { mark, held: Object.fromEntries(held) };
}

const COVERS_NOTHING = '1:1:';

/** A copy that had begun begins anew: what it has done is not known any more. */
const RESTART_COPIES = `
  update bucardo.copy set policy = 'always', state = 'wanted', done_to = null, chunk_to = null, chunk_open = false,
    rows_copied = 0, started_at = null, updated_at = clock_timestamp()
  where (sync, destination) = ($1, $2) and state = 'copying'`;

/** $1 sync, $2 destination, $3 reason, $4 and $5 schemas and names of tables; all of the sync's if null. */
const NEED_COPY = `
  insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select $1, $2, s.schema_name, s.table_name, $3
  from bucardo.sync_relation s
  where s.sync = $1
    and ($4::text[] is null or (s.schema_name, s.table_name) in (select * from unnest($4::text[], $5::text[])))
  on conflict do nothing`;

/**
 * The source's marks went back with it, and fit it. But the destination may have got rows of transactions that the source has lost; only
 * copies find them.
 */
export async function sourceWentBack(source: Connection, { sync, destination }: Lane): Promise<void> {
  await source.transaction('read committed', async () => {
    await source.run(RESTART_COPIES, [sync, destination]);
    await source.run(NEED_COPY, [sync, destination, 'restored', null, null]);
  });
}

/**
 * The lane goes back to what the destination has, so that everything since is pending again. A table of which deltas since then have been
 * purged, or which a copy has written since, needs a copy; without a row every table does.
 *
 * Runs under the lock of the purge, which otherwise might delete what is pending again by a coverage that it has recorded
 * earlier; that record goes too.
 *
 * @param row undefined if the destination has none any more
 * @returns how many tables need a copy
 */
export async function destinationWentBack(
  source: Connection,
  { sync, destination }: Lane,
  row: LaneRow | undefined,
): Promise<{ readonly copiesNeeded: number }> {
  return await withCaptureLock(source, () =>
    source.transaction('read committed', async () => {
      const marks = await source.row<LaneMarks>(READ_MARKS, [sync, destination]);
      const { lane, relations } = backTo(marks, row);
      await source.run(PUT_BACK, [
        sync,
        destination,
        text(lane),
        row === undefined ? null : String(row.writes),
      ]);
      for (const { schema, table, position } of relations.filter(({ held }) => held)) {
        await source.run(PUT_HOLD_BACK, [sync, destination, schema, table, text(position)]);
      }
      await source.run(FORGET_COVERAGE, [sync]);
      await endLarge(source, { sync, destination });
      await source.run(RESTART_COPIES, [sync, destination]);
      const lacking = relations.filter(({ needsCopy }) => needsCopy);
      const names = [lacking.map(({ schema }) => schema), lacking.map(({ table }) => table)];
      await source.run(NEED_COPY, [sync, destination, 'target restored', ...names]);
      return { copiesNeeded: lacking.length };
    }),
  );
}

/** Deltas that are pending again may not be deleted by what was covered before. */
const FORGET_COVERAGE = `
  delete from bucardo.purge_mark m using bucardo.sync_relation s
  where s.sync = $1 and (m.schema_name, m.table_name) = (s.schema_name, s.table_name)`;

const PUT_BACK = `
  update bucardo.progress set mark = $3::txid_snapshot, writes = $4::bigint, updated_at = clock_timestamp()
  where (sync, destination) = ($1, $2)`;

const PUT_HOLD_BACK = `
  update bucardo.held_relation set mark = $5::txid_snapshot
  where (sync, destination, schema_name, table_name) = ($1, $2, $3, $4)`;

interface Back extends RelationName {
  /** Has a mark of its own. */
  readonly held: boolean;
  /** Undefined covers nothing. */
  readonly position: Snapshot | undefined;
  readonly needsCopy: boolean;
}

/** Pure: where lane and relations are put. A relation that was held when the receipt was written, and is no more, takes the lane with it. */
function backTo(
  { mark, relations }: LaneMarks,
  row: LaneRow | undefined,
): { readonly lane: Snapshot | undefined; readonly relations: readonly Back[] } {
  const then = row?.mark ?? null;
  const heldThen = row?.held ?? {};
  const released = relations.flatMap((relation) => {
    const held = heldThen[displayRelation(relation)];
    return relation.held || held === undefined ? [] : [held];
  });
  const lane = common([mark, then, ...released]);
  return {
    lane,
    relations: relations.map((relation) => {
      const { schema, table, held, heldMark, purgedTxid, copied, copying } = relation;
      const position = held ? common([heldMark, heldThen[displayRelation(relation)] ?? then]) : lane;
      const purged = purgedTxid !== null && (position === undefined || BigInt(purgedTxid) >= xmin(position));
      const copiedSince = copied !== null && (row === undefined || BigInt(copied) > row.writes);
      const needsCopy = !copying && (then === null || purged || copiedSince);
      return { schema, table, held, position, needsCopy };
    }),
  };
}

function common(marks: readonly (string | null)[]): Snapshot | undefined {
  const [first, ...others] = marks.flatMap((mark) => (mark === null ? [] : [parseSnapshot(mark)]));
  return first === undefined || others.length + 1 < marks.length ? undefined : intersect([first, ...others]);
}

/** Everything below is covered. */
function xmin({ xmax, running }: Snapshot): bigint {
  return running[0] ?? xmax;
}

function text(position: Snapshot | undefined): string | null {
  return position === undefined ? null : formatSnapshot(position);
}
