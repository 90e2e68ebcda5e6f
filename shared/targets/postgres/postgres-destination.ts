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

/** Hashing and sorting a batch within memory; a few sessions at a time do so. */
const BATCH_WORK_MEM = '64MB';

/**
 * How long a statement waits for a row or a table that another session has. The source's snapshot is open meanwhile, and what the
 * batch has written already is locked; then the relation is held with an error that says so, and the others go on.
 */
const LOCK_WAIT = '10s';

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
    return await this.#transaction(() => describeTables(this.#db, relations));
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
    return await this.#db.transaction('read committed', async () => {
      const { pid } = await this.#db.row<{ pid: number }>(
        `select pg_backend_pid() as pid, set_config('work_mem', '${BATCH_WORK_MEM}', true),
           set_config('lock_timeout', '${LOCK_WAIT}', true)`,
      );
      if (pid !== this.#backendPid)
        throw new BucardoError('BUC-LANE-POOLED', { database: this.#db.database });
      return await body();
    });
  }
}
