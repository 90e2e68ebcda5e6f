/**
 * The usual way to apply a batch: every relation whole, in one transaction, without savepoints. Any error undoes it all; the
 * caller then knows which relation it was.
 *
 * In the replica role foreign keys and user triggers are silent, so each relation is written on its own: rows that are gone or
 * that change are deleted, and the current rows flow straight into the table. Otherwise foreign keys decide the order.
 */
import type { Connection } from '../../postgres/connection.ts';
import type { RelationChanges } from '../target.ts';
import { type Incoming, loadChanges, type Part, SMALL_ROWS, stageKeys } from './incoming.ts';
import {
  anyLeft,
  canUpsert,
  deleteStatement,
  copyIntoTable,
  replaceStatement,
  upsertStatement,
} from './statements.ts';
import { deleteGone, stillReferredTo } from './delete-gone.ts';
import { anyNotKept, exactUpsertStatement, notKept } from './exact-statements.ts';
import { underKeySettings } from './key-settings.ts';
import { naming } from './naming.ts';
import { rowFormat } from './row-format.ts';
import { isFewOf } from '../../replicate/share-of-table.ts';
import { parentsFirst } from '../../replicate/table-order.ts';

/** Where foreign keys are enforced: rows that go first, or rows that come first. Neither order suits every batch. */
export type Order = 'deletes first' | 'upserts first';

/** Returns rows written and deleted. */
export async function applyInReplicaRole(db: Connection, batch: readonly RelationChanges[]): Promise<number> {
  let rows = 0;
  for (const [position, changes] of batch.entries()) {
    const { plan } = changes;
    rows += await naming(plan, () => underKeySettings(db, plan, () => replaceRows(db, changes, position)));
  }
  return rows;
}

/** Returns rows written and deleted. */
export async function applyInOrder(
  db: Connection,
  batch: readonly RelationChanges[],
  order: Order,
): Promise<number> {
  await db.script('set constraints all deferred');
  const loaded: Incoming[] = [];
  for (const [position, changes] of batch.entries()) {
    loaded.push(await naming(changes.plan, () => loadChanges(db, changes, position)));
  }
  const parents = parentsFirst(loaded);
  const children = parents.toReversed();
  let rows = 0;
  const deletes = async (): Promise<void> => {
    for (const incoming of children)
      rows += await naming(incoming.plan, () =>
        underKeySettings(db, incoming.plan, () => deleteGoneRows(db, incoming)),
      );
  };
  const upserts = async (): Promise<void> => {
    for (const incoming of parents) {
      rows += await naming(incoming.plan, async () => {
        await expectNoAction(db, incoming);
        return await underKeySettings(db, incoming.plan, () => upsert(db, incoming));
      });
    }
  };
  for (const step of order === 'deletes first' ? [deletes, upserts] : [upserts, deletes]) await step();
  return rows;
}

async function replaceRows(db: Connection, changes: RelationChanges, position: number): Promise<number> {
  const { plan } = changes;
  if (changes.estimatedRows > SMALL_ROWS && plan.targetOnly.length === 0 && !plan.exactKey) {
    return await replaceAll(db, changes, position);
  }
  const incoming = await loadChanges(db, changes, position);
  const deleted = await run(db, incoming.gone, deleteStatement(plan, incoming.gone.from, staying(incoming)));
  return deleted + (await upsert(db, incoming));
}

/** While the old rows are found and deleted here, the source joins and reads the new ones until its buffers are full. */
async function replaceAll(db: Connection, changes: RelationChanges, position: number): Promise<number> {
  const { plan } = changes;
  const format = rowFormat(plan);
  const ahead = changes.rowsAhead?.(format);
  try {
    const keys = await stageKeys(db, changes, position);
    const deleted = await deleteKeys(db, changes, keys);
    const inserted = await db.copyIn(copyIntoTable(plan, format), ahead ?? changes.rows(format));
    return Math.max(deleted, inserted);
  } catch (error) {
    ahead?.destroy();
    throw error;
  }
}

/** Few keys of a large table are looked up: each batch of a long backlog would read the whole table otherwise. */
async function deleteKeys(
  db: Connection,
  { plan, estimatedRows }: RelationChanges,
  keys: Part,
): Promise<number> {
  const lookUp = !plan.nullableKey && isFewOf(estimatedRows, plan.target);
  if (lookUp) await db.script('set local enable_hashjoin = off; set local enable_mergejoin = off');
  const deleted = await db.run(deleteStatement(plan, keys.from));
  if (lookUp) await db.script('set local enable_hashjoin = on; set local enable_mergejoin = on');
  return deleted;
}

async function upsert(db: Connection, { plan, gone, present }: Incoming): Promise<number> {
  if (present.empty) return 0;
  if (plan.exactKey) {
    const { left } = await db.row<{ left: boolean }>(anyNotKept(plan, present.from, gone.from));
    if (left) throw notKept(plan, db.database);
  }
  if (plan.exactKey && canUpsert(plan))
    return await run(db, present, exactUpsertStatement(plan, present.from, gone.from));
  const statement = canUpsert(plan)
    ? upsertStatement(plan, present.from, db.serverVersion)
    : replaceStatement(plan, present.from);
  return await run(db, present, statement);
}

/** Rows that can only be deleted and inserted again must not be there yet if a foreign key would act on the deletion. */
async function expectNoAction(db: Connection, { plan, present }: Incoming): Promise<void> {
  if (present.empty || canUpsert(plan) || plan.target.replaceable) return;
  const { left } = await db.row<{ left: boolean }>(anyLeft(plan, present.from), present.values);
  if (left) throw stillReferredTo(plan, db.database);
}

async function deleteGoneRows(db: Connection, incoming: Incoming): Promise<number> {
  const { plan, gone } = incoming;
  if (gone.empty) return 0;
  return await deleteGone(plan, {
    database: db.database,
    from: gone.from,
    unless: staying(incoming),
    run: (sql) => run(db, gone, sql),
    ask: async (sql) => (await db.row<{ left: boolean }>(sql, gone.values)).left,
  });
}

/** Keys whose rows must not be deleted for a key that the target takes for the same. */
function staying({ plan, present }: Incoming): string | undefined {
  return plan.exactKey && !present.empty ? present.from : undefined;
}

/** Small statements have the same text whatever their rows, so the server plans them once per session. */
async function run(db: Connection, part: Part, sql: string): Promise<number> {
  if (part.empty) return 0;
  return part.values.length === 0 ? await db.run(sql) : await db.runPrepared(sql, part.values);
}
