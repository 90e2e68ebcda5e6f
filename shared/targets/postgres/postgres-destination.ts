/** Postgres as a destination: one session, every batch one transaction. */
import { BucardoError } from '../../errors/bucardo-error.ts';
import { describeTables, type Table } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import { quoteRelation, type RelationName } from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { Applied, ApplyMode, Destination, RelationChanges } from '../target.ts';
import { applyCarefully } from './apply-carefully.ts';
import { applyInOrder, applyInReplicaRole } from './apply-together.ts';
import { emptyTables } from './empty-tables.ts';
import { type ErrorScope, scopeOf } from '../../postgres/error-scope.ts';
import { naming } from './naming.ts';
import { rowFormat } from './row-format.ts';
import { copyIntoTable } from './statements.ts';
import { LOOK_SETTINGS, type Silence, writeSettings } from './write-settings.ts';

export class PostgresDestination implements Destination {
  readonly modes: Destination['modes'];
  readonly readsRowsAhead: boolean;
  readonly checksForeignKeys: boolean;
  readonly #db: Connection;
  readonly #replicaRole: boolean;
  readonly #settings: string;

  constructor(db: Connection, silence: Silence) {
    const replicaRole = silence !== 'none';
    this.#db = db;
    this.#replicaRole = replicaRole;
    this.readsRowsAhead = replicaRole;
    this.checksForeignKeys = !replicaRole;
    this.modes = replicaRole
      ? ['deletes first', 'carefully']
      : ['deletes first', 'upserts first', 'carefully'];
    this.#settings = writeSettings(silence);
  }

  scopeOf(error: BucardoError): ErrorScope {
    return scopeOf(error);
  }

  async describe(relations: readonly RelationName[]): Promise<ReadonlyMap<string, Table>> {
    return await this.#db.transaction(
      'read committed',
      () => describeTables(this.#db, relations),
      LOOK_SETTINGS,
    );
  }

  async apply(batch: readonly RelationChanges[], mode: ApplyMode): Promise<Applied> {
    return await this.#transaction(async () => {
      if (mode === 'carefully') return await applyCarefully(this.#db, batch, this.#replicaRole);
      const rows = this.#replicaRole
        ? await applyInReplicaRole(this.#db, batch)
        : await applyInOrder(this.#db, batch, mode);
      return { rows, refused: [] };
    });
  }

  async fill({ plan, rows }: RelationChanges): Promise<number> {
    const format = rowFormat(plan);
    return await this.#transaction(() =>
      naming(plan, () => this.#db.copyIn(copyIntoTable(plan, format), rows(format))),
    );
  }

  async isEmpty(plan: RelationPlan): Promise<boolean> {
    const { empty } = await naming(plan, () =>
      this.#transaction(() =>
        this.#db.row<{ empty: boolean }>(
          `select not exists (select from ${plan.target.partitioned ? '' : 'only '}${quoteRelation(plan)}) as empty`,
        ),
      ),
    );
    return empty;
  }

  async empty(plans: readonly RelationPlan[]): Promise<void> {
    const transaction = <Result>(body: () => Promise<Result>): Promise<Result> => this.#transaction(body);
    await emptyTables({ db: this.#db, replicaRole: this.#replicaRole, transaction }, plans);
  }

  async #transaction<Result>(body: () => Promise<Result>): Promise<Result> {
    return await this.#db.transaction('read committed', body, this.#settings);
  }
}
