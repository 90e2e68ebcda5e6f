/**
 * What every destination engine offers to a lane's run, whatever the engine. Changes arrive as streams in Postgres's COPY
 * text format, so values stay text from server to server; rows also in its binary format, for an engine that asks for it.
 */
import type { Readable } from 'node:stream';
import type { BucardoError } from '../errors/bucardo-error.ts';
import type { RelationName } from '../postgres/identifiers.ts';
import type { Table } from '../postgres/catalog.ts';
import type { ErrorScope } from '../postgres/error-scope.ts';
import type { RelationPlan } from '../replicate/relation-plan.ts';

/** Of COPY: Postgres manual, `COPY`, "File Formats". */
export type RowFormat = 'text' | 'binary';

/** The pending changes of one relation. Each stream may be opened once at a time, and again for a second attempt. */
export interface RelationChanges {
  readonly plan: RelationPlan;
  /** How many keys there are at most where deltas are read; about how many where a table is. */
  readonly estimatedRows: number;
  /** The distinct keys, columns in the key's order. */
  readonly keys: () => Readable;
  /** The current rows of those keys that still have one: `plan.columns`, in order. */
  readonly rows: (format: RowFormat) => Readable;
  /** As `rows`, but can be opened while `keys` is being read: the source then works ahead. Not always to be had. */
  readonly rowsAhead: ((format: RowFormat) => Readable) | undefined;
  /** One line a key: whether the row is gone (`t` or `f`), the key's columns, then the other columns of `plan.columns`. */
  readonly changes: () => Readable;
  /** As `changes`, but the other columns are one field: a row of them in Postgres's text form for rows. */
  readonly packed: () => Promise<Readable>;
  /**
   * After `packed` failed at the source: finds the rows that cannot be sent. `packed` has all others from then on.
   * @throws what the source says, if there are more than `most`
   */
  readonly leaveOutUnreadable: (most: number) => Promise<readonly RefusedRow[]>;
}

/** A row that the destination refused. The key is kept to find the row again, never to be shown in logs. */
export interface RefusedRow {
  readonly plan: RelationPlan;
  readonly key: readonly (string | null)[];
  readonly error: BucardoError;
}

export interface Applied {
  /** Rows written or deleted. */
  readonly rows: number;
  readonly refused: readonly RefusedRow[];
}

/**
 * How a batch is applied. The first mode is tried first; after a refused row the next one. Where foreign keys are silent the
 * two orders are the same. `carefully` finds the refused rows and applies the others.
 */
export type ApplyMode = 'deletes first' | 'upserts first' | 'carefully';

/** What a destination has of a lane, recorded there in the transaction that writes the rows. */
export interface Receipt {
  /** The lane's mark once the transaction is committed: text of a snapshot, null if everything is pending. */
  readonly mark: string | null;
  /** Marks of the relations that are held then, by display name. */
  readonly held: Readonly<Record<string, string>>;
}

/** The lane's row at its destination, as a run finds it. */
export interface LaneRow extends Receipt {
  /** The number that the run has now. */
  readonly run: bigint;
  /** How many transactions have written rows, ever. */
  readonly writes: bigint;
  /** The run that wrote last. */
  readonly writeRun: bigint;
}

/** One lane's session at its destination; the lane's lock is held as long as the session is open. */
export interface Destination {
  /**
   * Begins a run: raises the number in the lane's row and commits that. From then on a transaction of an earlier run is refused, and
   * each of this run's is counted in the row.
   * @param source names the source's database
   * @returns the row; `absent` without the table, `forbidden` if the role may not use it: the lane's lock must do then
   */
  raise(source: string): Promise<LaneRow | 'absent' | 'forbidden'>;

  /** Takes a number that is greater still. */
  raiseTo(run: bigint): Promise<void>;

  /** The number of the last transaction that was committed; undefined without a row. */
  readonly written: bigint | undefined;

  /** Records a receipt without writing rows. */
  stamp(receipt: Receipt): Promise<void>;

  /** Large batches are written faster here if rows can be read ahead of the keys' end. */
  readonly readsRowsAhead: boolean;

  /** In the order in which they are tried. The last one is `carefully`. */
  readonly modes: readonly [ApplyMode, ...ApplyMode[]];

  /** Foreign keys are checked, so a row gets in only after, or together with, those that it refers to. */
  readonly checksForeignKeys: boolean;

  /** How far an error that this destination gave reaches. */
  scopeOf(error: BucardoError): ErrorScope;

  /** Tables as the destination has them now, by display name; an error for one that cannot be looked at now. */
  describe(relations: readonly RelationName[]): Promise<ReadonlyMap<string, Table | BucardoError>>;

  /**
   * Applies all changes in one transaction and commits it. Keys without a row are deletes, rows are upserts. Applying the
   * same changes again changes nothing.
   * @param receipt what the destination has then; as before if left out
   * @throws BUC-LANE-OVERTAKEN, as do `fill` and `empty`, if another run has begun; errors of one relation carry its name (`concern.relation`); nothing of the batch is then applied
   */
  apply(batch: readonly RelationChanges[], mode: ApplyMode, receipt?: Receipt): Promise<Applied>;

  /** Adds rows to ranges of keys that are empty at the target, in one transaction. Returns how many. */
  fillRanges(batch: readonly RelationChanges[]): Promise<number>;

  isEmpty(plan: RelationPlan): Promise<boolean>;

  /** Deletes all rows of the tables, in one transaction. */
  empty(plans: readonly RelationPlan[]): Promise<void>;
}
