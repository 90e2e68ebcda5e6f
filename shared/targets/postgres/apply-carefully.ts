/**
 * The last way to apply a batch, after a row was refused: find the rows that the target does not take, or that the source
 * cannot send, and apply all others.
 *
 * All changes are staged as text, where every value gets in. Then rows are applied in ever smaller parts, each under a savepoint,
 * until the offending rows stand alone. Rows that were refused are tried again as long as others still got in: what
 * stood in their way (a parent still missing, a unique value still taken) may have gone. What is left at the end is refused
 * for good. Everything happens in one transaction, so nobody sees the steps.
 *
 * Rows are known here by their numbers in the stage, as ranges; only those that were refused are listed. So this process
 * needs no more memory for millions of rows than for a few.
 *
 * Constraints that may be deferred are, so that rows that refer to each other get in. If one of them is broken at the end nothing says
 * by which row: then all begins again with every constraint looking at once.
 */
import { asBucardoError, BucardoError } from '../../errors/bucardo-error.ts';
import type { Connection } from '../../postgres/connection.ts';
import { displayRelation } from '../../postgres/identifiers.ts';
import type { Applied, RefusedRow, RelationChanges } from '../target.ts';
import { scopeOf } from '../../postgres/error-scope.ts';
import {
  type Failure,
  findFailures,
  type Selection,
  sizeOf,
  TooManyFailures,
} from '../../replicate/bisect.ts';
import { parentsFirst } from '../../replicate/table-order.ts';
import { deleteGone, stillReferredTo } from './delete-gone.ts';
import { anyNotKept, exactUpsertStatement, notKept } from './exact-statements.ts';
import { underKeySettings } from './key-settings.ts';
import { naming } from './naming.ts';
import { type PackedStage, stagePacked } from './packed-stage.ts';
import { anyLeft, canUpsert, deleteStatement, replaceStatement, upsertStatement } from './statements.ts';

/** More refused rows than this, and the cause is not in the rows: looking for each of them would take hours. */
const MOST_REFUSED_ROWS = 1_000;

type Kind = 'gone' | 'present';

/** What is still to be applied of one relation's changes of one kind. */
interface Rest {
  readonly stage: PackedStage;
  readonly kind: Kind;
  /** How many rows that are. */
  left: number;
  selection: Selection;
  refused: readonly Failure<BucardoError>[];
}

/** @param replicaRole foreign keys are silent, so rows may be deleted and inserted again */
export async function applyCarefully(
  db: Connection,
  batch: readonly RelationChanges[],
  replicaRole: boolean,
): Promise<Applied> {
  const stages: PackedStage[] = [];
  const unreadable: RefusedRow[] = [];
  for (const [position, changes] of batch.entries()) {
    await naming(changes.plan, async () => {
      const staged = await stageReadable(db, changes, position);
      stages.push(staged.stage);
      unreadable.push(...staged.unreadable);
    });
  }
  await db.script('savepoint attempt; set constraints all deferred');
  let applied: Applied;
  try {
    applied = await applyStaged(db, stages, replicaRole);
    await db.script('set constraints all immediate');
  } catch (error) {
    if (scopeOf(asBucardoError(error)) !== 'row') throw error;
    await db.script('rollback to savepoint attempt; set constraints all immediate');
    applied = await applyStaged(db, stages, replicaRole);
  }
  return { rows: applied.rows, refused: [...unreadable, ...applied.refused] };
}

/** Rows that the source cannot send are looked for only after it could not. */
async function stageReadable(
  db: Connection,
  changes: RelationChanges,
  position: number,
): Promise<{ readonly stage: PackedStage; readonly unreadable: readonly RefusedRow[] }> {
  await db.script('savepoint staging');
  try {
    return { stage: await stagePacked(db, changes, position), unreadable: [] };
  } catch (thrown) {
    const error = asBucardoError(thrown);
    if (error.concern.database === db.database || scopeOf(error) !== 'row') throw error;
    await db.script('rollback to savepoint staging');
  }
  const unreadable = await changes.leaveOutUnreadable(MOST_REFUSED_ROWS);
  return { stage: await stagePacked(db, changes, position), unreadable };
}

async function applyStaged(
  db: Connection,
  stages: readonly PackedStage[],
  replicaRole: boolean,
): Promise<Applied> {
  const parents = parentsFirst(stages);
  const rests = [
    ...parents.map((stage) => restOf(stage, 'present')),
    ...parents.toReversed().map((stage) => restOf(stage, 'gone')),
  ];
  let rows = 0;
  for (;;) {
    let progress = 0;
    for (const rest of rests)
      progress += await naming(rest.stage.plan, () => applyRest(db, rest, replicaRole));
    rows += progress;
    if (progress === 0 || rests.every(({ left }) => left === 0)) break;
  }
  const refused: RefusedRow[] = [];
  for (const rest of rests) refused.push(...(await refusedRows(db, rest)));
  return { rows, refused };
}

function restOf(stage: PackedStage, kind: Kind): Rest {
  const left = stage[kind];
  return { stage, kind, left, selection: { from: 1, to: stage.gone + stage.present }, refused: [] };
}

/** Applies what can be applied; returns how many rows that were. */
async function applyRest(db: Connection, rest: Rest, replicaRole: boolean): Promise<number> {
  if (rest.left === 0) return 0;
  const refused = await findFailures(
    rest.selection,
    (part) => underKeySettings(db, rest.stage.plan, () => tryRows(db, rest, part, replicaRole)),
    MOST_REFUSED_ROWS,
  ).catch(asTooMany);
  const applied = rest.left - refused.length;
  rest.refused = refused;
  rest.left = refused.length;
  rest.selection = { numbers: refused.map(({ n }) => n) };
  return applied;
}

function asTooMany(error: unknown): never {
  if (!(error instanceof TooManyFailures)) throw error;
  const cause = asBucardoError(error.reason);
  throw new BucardoError('BUC-TOO-MANY-REFUSED', { ...cause.concern, detail: cause.detail, cause });
}

/** Undefined if all rows got in; the error if one of them was refused, with nothing changed. */
async function tryRows(
  db: Connection,
  { stage, kind }: Rest,
  part: Selection,
  replicaRole: boolean,
): Promise<BucardoError | undefined> {
  if (sizeOf(part) === 0) return undefined;
  const { plan } = stage;
  const { from, values } = stage.select(kind, part);
  const run = (sql: string): Promise<number> => db.run(sql, values);
  const ask = async (sql: string): Promise<boolean> => (await db.row<{ left: boolean }>(sql, values)).left;
  const unless = plan.exactKey ? stage.all('present') : undefined;
  const deletion = (): Promise<number> =>
    replicaRole
      ? run(deleteStatement(plan, from, unless))
      : deleteGone(plan, { database: db.database, from, unless, run, ask });
  const mayReplace = replicaRole || plan.target.replaceable;
  const expectKept = async (): Promise<void> => {
    if (plan.exactKey && (await ask(anyNotKept(plan, from, stage.all('gone')))))
      throw notKept(plan, db.database);
  };
  const upsertion = async (): Promise<number> => {
    await expectKept();
    return await run(
      plan.exactKey
        ? exactUpsertStatement(plan, from, stage.all('gone'))
        : upsertStatement(plan, from, db.serverVersion),
    );
  };
  const replacement = async (): Promise<number> => {
    await expectKept();
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
  const { plan, table, keyColumns } = stage;
  const rows = await db.rows<{ n: string; key: readonly (string | null)[] }>(
    `select n, array[${keyColumns.join(', ')}] as key from ${table} where n operator(pg_catalog.=) any ($1::pg_catalog.int8[])`,
    [refused.map(({ n }) => n)],
  );
  const keys = new Map(rows.map((row) => [Number(row.n), row.key]));
  return refused.map(({ n, reason }) => ({
    plan,
    key: keys.get(n) ?? [],
    error: new BucardoError('BUC-ROW-REFUSED', {
      database: db.database,
      relation: displayRelation(plan),
      detail: reason.detail,
      sqlstate: reason.sqlstate,
    }),
  }));
}
