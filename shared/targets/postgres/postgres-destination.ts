/** Postgres as a destination: one session, every batch one transaction. */
import type { BucardoError } from '../../errors/bucardo-error.ts';
import { ownRows, type Table } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import type { RelationName } from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { Applied, ApplyMode, Destination, LaneRow, Receipt, RelationChanges } from '../target.ts';
import { applyCarefully } from './apply-carefully.ts';
import { applyInOrder, applyInReplicaRole } from './apply-together.ts';
import { describeTarget } from './describe-target.ts';
import { emptyTables } from './empty-tables.ts';
import { type ErrorScope, scopeOf } from '../../postgres/error-scope.ts';
import { PostgresLaneRow } from './lane-row.ts';
import { naming } from './naming.ts';
import { rowFormat } from './row-format.ts';
import { copyIntoTable } from './statements.ts';
import { type Silence, writeSettings } from './write-settings.ts';

export class PostgresDestination implements Destination {
  readonly modes: Destination['modes'];
  readonly readsRowsAhead: boolean;
  readonly checksForeignKeys: boolean;
  readonly #db: Connection;
  readonly #replicaRole: boolean;
  readonly #settings: string;
  readonly #row: PostgresLaneRow;

  constructor(db: Connection, lane: string, silence: Silence) {
    const replicaRole = silence !== 'none';
    this.#db = db;
    this.#row = new PostgresLaneRow(db, lane);
    this.#replicaRole = replicaRole;
    this.readsRowsAhead = replicaRole;
    this.checksForeignKeys = !replicaRole;
    this.modes = replicaRole
      ? ['deletes first', 'carefully']
      : ['deletes first', 'upserts first', 'carefully'];
    this.#settings = writeSettings(silence);
  }

  get written(): bigint | undefined {
    return this.#row.written;
  }

  async raise(source: string): Promise<LaneRow | 'absent' | 'forbidden'> {
    return await this.#row.raise(source);
  }

  async raiseTo(run: bigint): Promise<void> {
    await this.#row.raiseTo(run);
  }

  async stamp(receipt: Receipt): Promise<void> {
    await this.#transaction(async () => {}, receipt);
  }

  scopeOf(error: BucardoError): ErrorScope {
    return scopeOf(error);
  }

  async describe(relations: readonly RelationName[]): Promise<ReadonlyMap<string, Table | BucardoError>> {
    return await describeTarget(this.#db, relations);
  }

  async apply(batch: readonly RelationChanges[], mode: ApplyMode, receipt?: Receipt): Promise<Applied> {
    return await this.#transaction(async () => {
      if (mode === 'carefully') return await applyCarefully(this.#db, batch, this.#replicaRole);
      const rows = this.#replicaRole
        ? await applyInReplicaRole(this.#db, batch)
        : await applyInOrder(this.#db, batch, mode);
      return { rows, refused: [] };
    }, receipt);
  }

  async fillRanges(batch: readonly RelationChanges[]): Promise<number> {
    // A key that the target does not keep as it is would not be noticed.
    if (batch.some(({ plan }) => plan.exactKey)) return (await this.apply(batch, this.modes[0])).rows;
    return await this.#transaction(async () => {
      let filled = 0;
      for (const { plan, rows } of batch) {
        const format = rowFormat(plan);
        filled += await naming(plan, () => this.#db.copyIn(copyIntoTable(plan, format), rows(format)));
      }
      return filled;
    });
  }

  async isEmpty(plan: RelationPlan): Promise<boolean> {
    const { empty } = await naming(plan, () =>
      this.#reading(() =>
        this.#db.row<{ empty: boolean }>(`select not exists (select from ${ownRows(plan.target)}) as empty`),
      ),
    );
    return empty;
  }

  async empty(plans: readonly RelationPlan[]): Promise<void> {
    // However many transactions it takes, the source records them as one.
    let count = true;
    const transaction = async <Result>(body: () => Promise<Result>): Promise<Result> => {
      const result = await this.#transaction(body, undefined, count);
      count = false;
      return result;
    };
    await emptyTables({ db: this.#db, replicaRole: this.#replicaRole, transaction }, plans);
  }

  /** A transaction that writes, which the lane's row allows and counts. */
  async #transaction<Result>(body: () => Promise<Result>, receipt?: Receipt, count = true): Promise<Result> {
    let committed = (): void => {};
    const result = await this.#reading(async () => {
      committed = await this.#row.write(receipt, count);
      return await body();
    });
    committed();
    return result;
  }

  async #reading<Result>(body: () => Promise<Result>): Promise<Result> {
    return await this.#db.transaction('read committed', body, this.#settings);
  }
}
