/**
 * The second way to apply a batch, after a row was refused: find the rows that the target does not take, apply all others.
 *
 * All changes are staged as text, where every value gets in. Then rows are applied in halves of halves, each half under a savepoint,
 * until the offending rows stand alone. Rows that were refused are tried again as long as others still got in: what
 * stood in their way (a parent still missing, a unique value still taken) may have gone. What is left at the end is refused
 * for good. Everything happens in one transaction, so nobody sees the steps.
 *
 * Constraints that may be deferred are, so that rows that refer to each other get in. If one of them is broken at the end nothing says
 * by which row: then all begins again with every constraint looking at once.
 */
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import type { Connection } from '../../postgres/connection.ts';
import { displayRelation } from '../../postgres/identifiers.ts';
import type { Applied, RefusedRow, RelationChanges } from '../target.ts';
import { scopeOf } from '../../postgres/error-scope.ts';
import { stageAsText, type TextStage } from './incoming.ts';
import { deleteGone, stillReferredTo } from './delete-gone.ts';
import { naming } from './naming.ts';
import { anyLeft, canUpsert, deleteStatement, replaceStatement, upsertStatement } from './statements.ts';
import { parentsFirst } from '../../replicate/table-order.ts';

/** More refused rows than this, and the cause is not in the rows: looking for each of them would take hours. */
const MOST_REFUSED_ROWS = 1_000;

type Kind = 'gone' | 'present';

interface Refusal {
  readonly n: number;
  readonly error: BucardoError;
}

/** What is still to be applied of one relation's changes of one kind. */
interface Rest {
  readonly stage: TextStage;
  readonly kind: Kind;
  numbers: readonly number[];
  refused: readonly Refusal[];
}

/** @param replicaRole foreign keys are silent, so rows may be deleted and inserted again */
export async function applyCarefully(
  db: Connection,
  batch: readonly RelationChanges[],
  replicaRole: boolean,
): Promise<Applied> {
  const stages: TextStage[] = [];
  for (const [position, changes] of batch.entries()) {
    stages.push(await naming(changes.plan, () => stageAsText(db, changes, position)));
  }
  await db.script('savepoint attempt; set constraints all deferred');
  try {
    const applied = await applyStaged(db, stages, replicaRole);
    await db.script('set constraints all immediate');
    return applied;
  } catch (error) {
    if (scopeOf(asBucardoError(error)) !== 'row') throw error;
    await db.script('rollback to savepoint attempt; set constraints all immediate');
    return await applyStaged(db, stages, replicaRole);
  }
}

async function applyStaged(
  db: Connection,
  stages: readonly TextStage[],
  replicaRole: boolean,
): Promise<Applied> {
  const parents = parentsFirst(stages);
  const rests: Rest[] = [];
  for (const stage of parents) rests.push(await restOf(db, stage, 'present'));
  for (const stage of parents.toReversed()) rests.push(await restOf(db, stage, 'gone'));

  let rows = 0;
  for (;;) {
    let progress = 0;
    for (const rest of rests)
      progress += await naming(rest.stage.plan, () => applyRest(db, rest, replicaRole));
    rows += progress;
    if (progress === 0 || rests.every(({ numbers }) => numbers.length === 0)) break;
  }
  const refused: RefusedRow[] = [];
  for (const rest of rests) refused.push(...(await refusedRows(db, rest)));
  return { rows, refused };
}

async function restOf(db: Connection, stage: TextStage, kind: Kind): Promise<Rest> {
  const rows = await db.rows<{ n: string }>(
    `select n from ${stage.table} where ${kind === 'gone' ? 'gone' : 'not gone'} order by n`,
  );
  return { stage, kind, numbers: rows.map(({ n }) => Number(n)), refused: [] };
}

/** Applies what can be applied; returns how many rows that were. */
async function applyRest(db: Connection, rest: Rest, replicaRole: boolean): Promise<number> {
  const refused: Refusal[] = [];
  await applyHalves(db, rest, rest.numbers, replicaRole, refused);
  const applied = rest.numbers.length - refused.length;
  rest.refused = refused;
  rest.numbers = refused.map(({ n }) => n);
  return applied;
}

async function applyHalves(
  db: Connection,
  rest: Rest,
  numbers: readonly number[],
  replicaRole: boolean,
  refused: Refusal[],
): Promise<void> {
  if (numbers.length === 0) return;
  const error = await tryRows(db, rest, numbers, replicaRole);
  if (error === undefined) return;
  const [n] = numbers;
  if (numbers.length === 1 && n !== undefined) {
    if (refused.length >= MOST_REFUSED_ROWS) {
      throw new BucardoError('BUC-TOO-MANY-REFUSED', {
        ...error.concern,
        detail: error.detail,
        cause: error,
      });
    }
    refused.push({ n, error });
    return;
  }
  const middle = numbers.length >> 1;
  await applyHalves(db, rest, numbers.slice(0, middle), replicaRole, refused);
  await applyHalves(db, rest, numbers.slice(middle), replicaRole, refused);
}

/** Undefined if all rows got in; the error if one of them was refused, with nothing changed. */
async function tryRows(
  db: Connection,
  { stage, kind }: Rest,
  numbers: readonly number[],
  replicaRole: boolean,
): Promise<BucardoError | undefined> {
  const { plan } = stage;
  const from = stage.numbered(kind);
  const run = (sql: string): Promise<number> => db.run(sql, [numbers]);
  const ask = async (sql: string): Promise<boolean> => (await db.row<{ left: boolean }>(sql, [numbers])).left;
  const deletion = (): Promise<number> =>
    replicaRole
      ? run(deleteStatement(plan, from))
      : deleteGone(plan, { database: db.database, from, run, ask });
  const mayReplace = replicaRole || plan.target.replaceable;
  const upsertion = (): Promise<number> => run(upsertStatement(plan, from, db.serverVersion));
  const replacement = async (): Promise<number> => {
    if (!mayReplace && (await ask(anyLeft(plan, from)))) throw stillReferredTo(plan, db.database);
    return await run(replaceStatement(plan, from));
  };
  // Values that rows have swapped among each other get in only when all old ones are out of the way.
  const writing = canUpsert(plan) ? [upsertion, ...(mayReplace ? [replacement] : [])] : [replacement];
  const attempts = kind === 'gone' ? [deletion] : writing;
  let refusal: BucardoError | undefined;
  for (const attempt of attempts) {
    await db.script('savepoint rows');
    try {
      await attempt();
      await db.script('release savepoint rows');
      return undefined;
    } catch (error) {
      const known = asBucardoError(error);
      if (scopeOf(known) !== 'row') throw known;
      await db.script('rollback to savepoint rows; release savepoint rows');
      refusal = known;
    }
  }
  return refusal;
}

async function refusedRows(db: Connection, { stage, refused }: Rest): Promise<readonly RefusedRow[]> {
  if (refused.length === 0) return [];
  const { plan, table } = stage;
  const key = plan.key.map((_, index) => `c${index}`).join(', ');
  const rows = await db.rows<{ n: string; key: readonly (string | null)[] }>(
    `select n, array[${key}] as key from ${table} where n operator(pg_catalog.=) any ($1::pg_catalog.int8[])`,
    [refused.map(({ n }) => n)],
  );
  const keys = new Map(rows.map((row) => [Number(row.n), row.key]));
  return refused.map(({ n, error }) => ({
    plan,
    key: keys.get(n) ?? [],
    error: new BucardoError('BUC-ROW-REFUSED', {
      database: db.database,
      relation: displayRelation(plan),
      detail: error.detail,
      sqlstate: error.sqlstate,
    }),
  }));
}
