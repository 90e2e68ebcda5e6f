/** Postgres as a destination: one session, every batch one transaction. */
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import { describeTables, type Table } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import {
  displayRelation,
  quoteIdentifier,
  quoteRelation,
  type RelationName,
} from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import type { Applied, ApplyMode, Destination, RelationChanges } from '../target.ts';
import { applyCarefully } from './apply-carefully.ts';
import { applyInOrder, applyInReplicaRole } from './apply-together.ts';
import { type ErrorScope, scopeOf } from '../../postgres/error-scope.ts';
import { naming } from './naming.ts';
import { rowFormat } from './row-format.ts';
import { copyIntoTable } from './statements.ts';
import { parentsFirst } from '../../replicate/table-order.ts';

/** Hashing and sorting a batch within memory; a few sessions at a time do so. */
const BATCH_WORK_MEM = '64MB';

export class PostgresDestination implements Destination {
  readonly modes: Destination['modes'];
  readonly readsRowsAhead: boolean;
  readonly checksForeignKeys: boolean;
  readonly #db: Connection;
  readonly #replicaRole: boolean;
  readonly #backendPid: number;

  constructor(db: Connection, replicaRole: boolean, backendPid: number) {
    this.#db = db;
    this.#replicaRole = replicaRole;
    this.readsRowsAhead = replicaRole;
    this.checksForeignKeys = !replicaRole;
    this.modes = replicaRole
      ? ['deletes first', 'carefully']
      : ['deletes first', 'upserts first', 'carefully'];
    this.#backendPid = backendPid;
  }

  scopeOf(error: BucardoError): ErrorScope {
    return scopeOf(error);
  }

  async describe(relations: readonly RelationName[]): Promise<ReadonlyMap<string, Table>> {
    return await describeTables(this.#db, relations);
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
      this.#db.row<{ empty: boolean }>(`select not exists (select from ${quoteRelation(plan)}) as empty`),
    );
    return empty;
  }

  async empty(plans: readonly RelationPlan[]): Promise<void> {
    await this.#transaction(async () => {
      if (await this.#truncated(plans)) return;
      if (!this.#replicaRole) await this.#expectNoAction(plans);
      const children = parentsFirst(plans.map((plan) => ({ plan }))).toReversed();
      for (const { plan } of children)
        await naming(plan, () => this.#db.run(`delete from ${quoteRelation(plan)}`));
    });
  }

  /** Rows of other tables must not be deleted or changed with those of `plans`: nothing would bring them back. */
  async #expectNoAction(plans: readonly RelationPlan[]): Promise<void> {
    const emptied = new Set(plans.map(displayRelation));
    for (const plan of plans) {
      for (const { table, columns } of plan.target.actingKeys.filter(
        (key) => !emptied.has(displayRelation(key.table)),
      )) {
        const refers = columns.map(({ referring }) => `${quoteIdentifier(referring)} is not null`);
        const { acts } = await this.#db.row<{ acts: boolean }>(
          `select exists (select from ${quoteRelation(table)} where ${refers.join(' and ')}) as acts`,
        );
        if (!acts) continue;
        throw new BucardoError('BUC-COPY-ACTS', {
          database: this.#db.database,
          relation: displayRelation(plan),
          detail: `${displayRelation(table)} refers to it`,
        });
      }
    }
  }

  /** TRUNCATE is faster by far, but needs a right of its own and refuses tables that others refer to. */
  async #truncated(plans: readonly RelationPlan[]): Promise<boolean> {
    await this.#db.script('savepoint truncation');
    try {
      await this.#db.script(`truncate ${plans.map(quoteRelation).join(', ')}`);
      return true;
    } catch (error) {
      const { sqlstate } = asBucardoError(error);
      if (sqlstate !== '42501' && sqlstate !== '0A000') throw error;
      await this.#db.script('rollback to savepoint truncation');
      return false;
    }
  }

  async #transaction<Result>(body: () => Promise<Result>): Promise<Result> {
    return await this.#db.transaction('read committed', async () => {
      const { pid } = await this.#db.row<{ pid: number }>(
        `select pg_backend_pid() as pid, set_config('work_mem', '${BATCH_WORK_MEM}', true)`,
      );
      if (pid !== this.#backendPid)
        throw new BucardoError('BUC-LANE-POOLED', { database: this.#db.database });
      return await body();
    });
  }
}
