/**
 * Empties tables before a copy, without making an application wait. TRUNCATE is faster by far, but everybody queues behind it while it
 * waits for a reader: it is asked for only a moment at a time. Where it does not get its lock, lacks the right, or is refused
 * because other tables refer to these, rows are deleted, which blocks no reader.
 *
 * A large table is deleted in ranges of pages, each its own transaction, so that a run that is killed has made progress. What is left
 * (rows that refer to each other, rows that came meanwhile) is deleted in one transaction at the end. Each page is deleted
 * from all partitions at once. Servers before 14 cannot read a range of pages: there the last step does it all.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import { ownRows } from '../../postgres/catalog.ts';
import type { Connection } from '../../postgres/connection.ts';
import { scopeOf } from '../../postgres/error-scope.ts';
import { displayRelation, quoteIdentifier } from '../../postgres/identifiers.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';
import { parentsFirst } from '../../replicate/table-order.ts';
import { naming } from './naming.ts';

/** ACCESS EXCLUSIVE: whoever reads the table meanwhile waits as long at most. */
const TRUNCATE_WAIT = '100ms';
const TRUNCATE_TRIES = 3;
/** Between two tries, for those who have queued up. */
const TRUNCATE_PAUSE_MS = 200;

/** One piece of a large table: 8 MB, a fraction of a second. */
const PIECE_PAGES = 1_024;

/** TID range scans. */
const PAGE_RANGES_SINCE = 140000;

export interface Emptying {
  readonly db: Connection;
  /** Foreign keys are silent. */
  readonly replicaRole: boolean;
  /** As the destination runs all its transactions. */
  readonly transaction: <Result>(body: () => Promise<Result>) => Promise<Result>;
}

/** @throws BUC-COPY-ACTS if rows of other tables would be changed */
export async function emptyTables(emptying: Emptying, plans: readonly RelationPlan[]): Promise<void> {
  if (await truncated(emptying, plans)) return;
  const { db, replicaRole, transaction } = emptying;
  if (!replicaRole) await transaction(() => expectNoAction(db, plans));
  const children = parentsFirst(plans.map((plan) => ({ plan }))).toReversed();
  for (const { plan } of children) await naming(plan, () => deletePieces(emptying, plan));
  await transaction(async () => {
    if (!replicaRole) await expectNoAction(db, plans);
    for (const { plan } of children) await naming(plan, () => db.run(`delete from ${ownRows(plan.target)}`));
  });
}

async function truncated({ db, transaction }: Emptying, plans: readonly RelationPlan[]): Promise<boolean> {
  for (let tries = 1; ; tries += 1) {
    try {
      await transaction(() =>
        db.script(
          `set local lock_timeout = '${TRUNCATE_WAIT}'; truncate ${plans.map(({ target }) => ownRows(target)).join(', ')}`,
        ),
      );
      return true;
    } catch (error) {
      const { sqlstate } = asBucardoError(error);
      // No right to it; refused because other tables refer to these.
      if (sqlstate === '42501' || sqlstate === '0A000') return false;
      if (sqlstate !== '55P03') throw error;
    }
    if (tries === TRUNCATE_TRIES) return false;
    await pause(TRUNCATE_PAUSE_MS);
  }
}

async function deletePieces({ db, transaction }: Emptying, plan: RelationPlan): Promise<void> {
  if (db.serverVersion < PAGE_RANGES_SINCE) return;
  const { pages } = await transaction(() => db.row<{ pages: number }>(COUNT_PAGES, [plan.target.oid]));
  for (let page = 0; page + PIECE_PAGES < pages; page += PIECE_PAGES) {
    const [from, to] = [page, page + PIECE_PAGES].map((at) => `'(${at},0)'::pg_catalog.tid`);
    const range = `ctid operator(pg_catalog.>=) ${from} and ctid operator(pg_catalog.<) ${to}`;
    try {
      await transaction(() => db.run(`delete from ${ownRows(plan.target)} where ${range}`));
    } catch (error) {
      // Rows that refer to rows of other pages have to go together with these.
      if (scopeOf(asBucardoError(error)) === 'row') return;
      throw error;
    }
  }
}

/** $1 the table's oid. Of the largest partition, if it has some. */
const COUNT_PAGES = `
  select coalesce(pg_catalog.max(pg_catalog.pg_relation_size(l.relid)
    operator(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8), 0)::pg_catalog.int4 as pages
  from (
    select $1::pg_catalog.oid::pg_catalog.regclass as relid
    union
    select relid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) where isleaf
  ) l`;

/** Rows of other tables must not be deleted or changed with those of `plans`: nothing would bring them back. */
async function expectNoAction(db: Connection, plans: readonly RelationPlan[]): Promise<void> {
  const emptied = new Set(plans.map(displayRelation));
  for (const plan of plans) {
    for (const { table, partitioned, columns } of plan.target.actingKeys.filter(
      (key) => !emptied.has(displayRelation(key.table)),
    )) {
      const refers = columns.map(({ referring }) => `${quoteIdentifier(referring)} is not null`);
      const { acts } = await db.row<{ acts: boolean }>(
        `select exists (select from ${ownRows({ ...table, partitioned })} where ${refers.join(' and ')}) as acts`,
      );
      if (!acts) continue;
      throw new BucardoError('BUC-COPY-ACTS', {
        database: db.database,
        relation: displayRelation(plan),
        detail: `${displayRelation(table)} refers to it`,
      });
    }
  }
}
