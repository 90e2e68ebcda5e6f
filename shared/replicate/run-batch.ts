/**
 * One batch of a lane: read what is pending in one snapshot of the source, apply it in one transaction of the destination, then
 * record it on the source. Dying between any two of these repeats work that writes the same rows again.
 *
 * A relation that cannot be applied is held: it keeps its own mark and the batch goes on without it. When it is due it takes
 * part again from its own mark, and is released once it is level with the lane.
 */
import { quoteDelta } from '../capture/capture-sql.ts';
import type { Lane } from '../config/types.ts';
import { asBucardoError, type BucardoError } from '../errors/bucardo-error.ts';
import { describeTables } from '../postgres/catalog.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, quoteLiteral } from '../postgres/identifiers.ts';
import { advance, formatSnapshot, type Snapshot, type Txid } from '../postgres/snapshot.ts';
import { scopeOf } from '../postgres/error-scope.ts';
import type { Applied, ApplyMode, Destination } from '../targets/target.ts';
import { readScope, type Share } from './batch-scope.ts';
import { type LaneState, readLaneState, type RelationState } from './lane-state.ts';
import { beginLarge, endLarge, isInPlace } from './large-record.ts';
import { type LargeTransaction, nextPart, type Part, partCondition, stepsOf } from './large-transaction.ts';
import type { Pace } from './pace.ts';
import { recordBatch, recordWrites, type RelationOutcome } from './record-batch.ts';
import { recordProblems } from './record-problems.ts';
import {
  findUnreadable,
  isLockTimeout,
  lockBeside,
  lockTables,
  rewrittenDeltas,
  SHORT_LOCK_WAIT,
} from './lock-tables.ts';
import { planRelation, type RelationPlan } from './relation-plan.ts';
import { isFewOf } from './share-of-table.ts';
import { readPending } from './source-reader.ts';
import { parentsFirst } from './table-order.ts';

export interface BatchSettings {
  readonly lane: Lane;
  readonly destination: Destination;
  /** The run's number. */
  readonly run: bigint;
  /** The run's measure: how large the batch may be. */
  readonly pace: Pace;
  readonly mode: ApplyMode;
  /** A second session at the source for the time of `body`. It is given up if that fails. */
  readonly withAhead: <Result>(body: (ahead: Connection) => Promise<Result>) => Promise<Result>;
  /** Relations that failed in earlier attempts of this batch, by display name. */
  readonly failed: ReadonlyMap<string, BucardoError>;
}

export type BatchOutcome =
  | { readonly kind: 'idle'; readonly state: LaneState }
  | {
      readonly kind: 'done';
      readonly state: LaneState;
      readonly rows: number;
      readonly refused: number;
      readonly more: boolean;
    }
  /** Somebody wants the lane to wait: nothing was looked for. */
  | { readonly kind: 'paused' }
  /** The source does not have what this run has recorded there: another run has begun, or another server answers. */
  | { readonly kind: 'other run' }
  /** The source is a restored copy; its control tables must be adopted first. */
  | { readonly kind: 'other place' }
  /** Copies were asked for. Whether the tables are copied has to be decided first: only then their deltas may be passed over. */
  | { readonly kind: 'copy wanted'; readonly state: LaneState }
  /** A transaction is delivered in parts from now on: the next batch is the first of them. */
  | { readonly kind: 'large begun'; readonly large: Omit<LargeTransaction, 'version'> }
  /** What is next takes longer than the run has time for. */
  | { readonly kind: 'no time' }
  /** What was to be read changed, or cannot be read for now: begin again with a new snapshot, without `failed`. */
  | {
      readonly kind: 'changed';
      readonly failed: ReadonlyMap<string, BucardoError>;
      /** Display names of what changed. */
      readonly relations: readonly string[];
    }
  /** The mark was not what it was: another run is or was at work. Nothing is lost; begin again. */
  | { readonly kind: 'overtaken' }
  /** Nothing was applied: try again in another mode, or without a relation. The source connection must be replaced. */
  | {
      readonly kind: 'again';
      readonly mode: ApplyMode;
      readonly failed: ReadonlyMap<string, BucardoError>;
      readonly error: BucardoError;
    };

/** From here on a batch is large: it may use more memory, and its joins must not be planned for a handful of keys. */
const MANY_DELTAS = 10_000;

const LARGE_BATCH = `
  set local work_mem = '64MB';
  set local enable_hashagg = off;
  set local max_parallel_workers_per_gather = 0`;

export async function runBatch(source: Connection, settings: BatchSettings): Promise<BatchOutcome> {
  const { lane, destination, run, pace, mode, failed } = settings;
  const startedAtMs = performance.now();
  await source.script(`begin isolation level repeatable read read only; ${SHORT_LOCK_WAIT}`);
  const state = await readLaneState(source, lane);
  if (state.otherPlace) {
    await source.script('rollback');
    return { kind: 'other place' };
  }
  if (state.run !== run || (destination.written !== undefined && state.writes !== destination.written)) {
    await source.script('rollback');
    return { kind: 'other run' };
  }
  if (state.paused) {
    await source.script('rollback');
    return { kind: 'paused' };
  }
  const due = state.relations.filter(
    (relation) =>
      !failed.has(displayRelation(relation)) && (relation.hold === undefined || relation.hold.due),
  );
  const attempted = due.filter(({ problem }) => problem === undefined);
  if (attempted.some(({ copy }) => copy?.state === 'wanted')) {
    await source.script('rollback');
    return { kind: 'copy wanted', state };
  }
  const scope = await readScope(source, state, attempted, pace);
  if (scope.kind === 'later') {
    await source.script('rollback');
    return { kind: 'no time' };
  }
  if (scope.kind === 'begin') {
    await source.script('rollback');
    await beginLarge(source, lane, scope.large);
    return { kind: 'large begun', large: scope.large };
  }
  const { cut } = scope;
  const problems = new Map([...failed, ...problemsOf(due)]);
  let shared: readonly Planned[];
  let changed: readonly string[] | undefined;
  try {
    shared = await planShares(source, settings, state, scope.shares, problems);
    changed = await findChanged(source, attempted, shared);
  } catch (error) {
    return await withoutUnreadable(source, settings, scope.shares, asBucardoError(error));
  }
  if (changed !== undefined) {
    await source.script('rollback');
    return { kind: 'changed', failed, relations: changed };
  }
  const chosen =
    scope.kind === 'part' ? await choosePart(source, settings, state, scope.large, shared) : undefined;
  if (chosen === 'moved') {
    await source.script('rollback');
    await endLarge(source, lane);
    return { kind: 'overtaken' };
  }
  const planned = scope.kind === 'part' ? (chosen?.planned ?? []) : shared;
  const deltas = planned.reduce((sum, { share }) => sum + share.deltas, 0);

  const from = state.mark;
  const end = scope.kind === 'part' ? scope.large.end : state.end;
  const mark = chosen === undefined ? advance(from, end, cut) : from;
  const outcomes = outcomesOf(state, scope.attempted, { cut, end, mark }, problems);
  const receipt = {
    // Exactly what is stored, if the mark stays.
    mark: chosen === undefined ? formatSnapshot(mark) : state.storedMark,
    held: heldThen(state, chosen === undefined ? outcomes : []),
  };
  let applied: Applied = { rows: 0, refused: [] };
  if (planned.length > 0) {
    await preparePlanner(source, planned);
    const apply = (ahead?: Connection): Promise<Applied> =>
      destination.apply(
        planned.map(({ plan, share }) => readPending(source, { plan, ...share, cut }, ahead)),
        mode,
        receipt,
      );
    const readsAhead = mode === destination.modes[0] && destination.readsRowsAhead && hasMany(planned);
    try {
      applied = await pace.under(deltas, state.history, () =>
        readsAhead ? applyReadingAhead(source, settings, planned, apply) : apply(),
      );
    } catch (error) {
      return nextAttempt(asBucardoError(error), settings);
    }
  }
  await source.script('commit');

  await recordProblems(source, lane, state.problems);
  const applies = outcomes.every(({ kind }) => kind === 'applied');
  if (scope.kind === 'transactions' && scope.deltas === 0 && applies) return { kind: 'idle', state };

  const { refused, rows } = applied;
  const record = {
    lookedAt: state.lookedAt,
    storedMark: state.storedMark,
    mark,
    from,
    cut,
    refused,
    noted: pace.isNoted(state.history),
    run,
    writes: destination.written,
  };
  const recorded = await recordBatch(source, lane, {
    ...record,
    outcomes: scope.kind === 'part' ? outcomesOfPart(outcomes, chosen?.planned) : outcomes,
    ...(scope.kind === 'part' && chosen !== undefined
      ? { part: { large: scope.large, part: chosen.part }, endsLarge: false }
      : { endsLarge: scope.kind === 'part' }),
  });
  if (!recorded) {
    await recordWrites(source, lane, destination.written);
    return { kind: 'overtaken' };
  }
  pace.ended(deltas, (performance.now() - startedAtMs) / 1000, state.history);
  return {
    kind: 'done',
    state,
    rows,
    refused: refused.length,
    more: scope.kind === 'part' || cut !== undefined,
  };
}

function problemsOf(relations: readonly RelationState[]): readonly (readonly [string, BucardoError])[] {
  return relations.flatMap((relation) =>
    relation.problem === undefined ? [] : [[displayRelation(relation), relation.problem] as const],
  );
}

/**
 * The part of a large transaction that is next; undefined if all are through. `moved` if its deltas lie elsewhere now. The
 * lock is one that readers take: it only keeps the delta table's file from being changed while the part is read.
 */
async function choosePart(
  source: Connection,
  { destination, pace }: BatchSettings,
  state: LaneState,
  large: LargeTransaction,
  shared: readonly Planned[],
): Promise<{ readonly part: Part; readonly planned: readonly Planned[] } | 'moved' | undefined> {
  const names = parentsFirst(shared).map(({ plan }) => plan.deltaName);
  const steps = stepsOf(names, destination.checksForeignKeys);
  const part = nextPart(large, steps, pace.batchDeltas(state.history));
  const place = part === undefined ? undefined : large.places[part.deltaName];
  if (part === undefined || place === undefined) return undefined;
  await source.script(`lock table ${quoteDelta(part.deltaName)} in access share mode`);
  if (!(await isInPlace(source, part.deltaName, place))) return 'moved';
  const condition = partCondition(part, { txid: large.txid, pageRows: place.pageRows }, source.serverVersion);
  const { way, deltas } = part;
  return {
    part,
    planned: shared
      .filter(({ plan }) => plan.deltaName === part.deltaName)
      .map(({ plan, share }) => ({ plan, share: { ...share, deltas, part: { condition, way } } })),
  };
}

/** Rows of other parts stay parked, and relations that were held advance at the end of the delivery. */
function outcomesOfPart(
  outcomes: readonly RelationOutcome[],
  planned: readonly Planned[] | undefined,
): readonly RelationOutcome[] {
  if (planned === undefined) return outcomes.filter(({ kind }) => kind !== 'applied');
  return [
    ...outcomes.filter(({ kind }) => kind === 'held'),
    ...planned.map(({ share: { relation, mark, part } }): RelationOutcome => {
      return { kind: 'applied', relation, from: mark, part: part?.condition };
    }),
  ];
}

/** Marks of the relations that are behind the lane once the batch is recorded. */
function heldThen(state: LaneState, outcomes: readonly RelationOutcome[]): Readonly<Record<string, string>> {
  const marks = new Map(
    state.relations.flatMap((relation) =>
      relation.hold === undefined ? [] : [[displayRelation(relation), relation.hold.mark] as const],
    ),
  );
  for (const outcome of outcomes) {
    if (outcome.kind === 'level') marks.delete(displayRelation(outcome.relation));
    if (outcome.kind === 'held' || outcome.kind === 'behind') {
      marks.set(displayRelation(outcome.relation), outcome.mark);
    }
  }
  return Object.fromEntries([...marks].map(([name, mark]) => [name, formatSnapshot(mark)]));
}

interface Planned {
  readonly plan: RelationPlan;
  readonly share: Share;
}

/** Relations that cannot be planned are added to `problems`; the others go on. */
async function planShares(
  source: Connection,
  { lane, destination }: BatchSettings,
  state: LaneState,
  shares: readonly Share[],
  problems: Map<string, BucardoError>,
): Promise<readonly Planned[]> {
  if (shares.length === 0) return [];
  const relations = shares.map(({ relation }) => relation);
  const [sourceTables, targetTables] = await Promise.all([
    describeTables(source, relations),
    destination.describe(relations),
  ]);
  const laneKeys = new Map(state.relations.map((one) => [displayRelation(one), one.keyColumns]));
  const names = { source: lane.source, destination: lane.destination };
  return shares.flatMap((share) => {
    const name = displayRelation(share.relation);
    try {
      const [inSource, inTarget] = [sourceTables.get(name), targetTables.get(name)];
      const plan = planRelation(share.relation, inSource, inTarget, names, laneKeys);
      return [{ plan, share }];
    } catch (error) {
      problems.set(name, asBucardoError(error));
      return [];
    }
  });
}

/**
 * Tables that the snapshot shows other than they are, or whose delta tables it does; undefined if there is no such, and then
 * everything that is read is locked.
 */
async function findChanged(
  source: Connection,
  attempted: readonly RelationState[],
  planned: readonly Planned[],
): Promise<readonly string[] | undefined> {
  const rewritten = await rewrittenDeltas(source, [
    'truncation',
    ...attempted.map(({ deltaName }) => deltaName),
  ]);
  if (rewritten.length > 0)
    return attempted.filter(({ deltaName }) => rewritten.includes(deltaName)).map(displayRelation);
  const changed = await lockTables(
    source,
    planned.map(({ plan }) => plan.source),
  );
  return changed.length === 0 ? undefined : changed.map(displayRelation);
}

/** A table that is locked, or that may not be read, is left out of the batch. @throws what concerns more than the tables */
async function withoutUnreadable(
  source: Connection,
  { lane, failed }: BatchSettings,
  shares: readonly Share[],
  error: BucardoError,
): Promise<BatchOutcome> {
  const ofTables = isLockTimeout(error) || scopeOf(error) === 'relation';
  if (error.concern.database !== lane.source || !ofTables) throw error;
  await source.script('rollback');
  const relations = shares.map(({ relation }) => relation);
  const unreadable = await findUnreadable(source, relations);
  return {
    kind: 'changed',
    failed: new Map([...failed, ...unreadable]),
    relations: unreadable.size > 0 ? [...unreadable.keys()] : relations.map(displayRelation),
  };
}

/**
 * The delta table's statistics lag behind what was just written, so the way of the join is not left to the planner: a large
 * share of the table is read whole; few of its rows are looked up by their keys, or each batch of a long backlog would
 * read the whole table. Keys that may be NULL have no index to be looked up in. Keys are made distinct by sorting, which is
 * three times as fast as hashing where they lie in order already, as bulk statements leave them. And a lane takes one
 * processor of its source, not several: parallel plans would make the keys distinct once in every worker.
 */
async function preparePlanner(source: Connection, planned: readonly Planned[]): Promise<void> {
  if (!hasMany(planned)) return;
  await source.script(LARGE_BATCH);
  const large = planned.filter(({ share }) => share.deltas > MANY_DELTAS);
  const isSparse = ({ plan, share }: Planned): boolean => isFewOf(share.deltas, plan.source);
  if (!large.some(isSparse)) await source.script('set local enable_nestloop = off');
  else if (planned.every((one) => isSparse(one) && !one.plan.nullableKey)) {
    await source.script('set local enable_hashjoin = off; set local enable_mergejoin = off');
  }
}

function hasMany(planned: readonly Planned[]): boolean {
  return planned.some(({ share }) => share.deltas > MANY_DELTAS);
}

/** The second session sees exactly what the first one sees: it imports its snapshot. */
async function applyReadingAhead(
  source: Connection,
  { withAhead }: BatchSettings,
  planned: readonly Planned[],
  apply: (ahead?: Connection) => Promise<Applied>,
): Promise<Applied> {
  const { snapshot } = await source.row<{ snapshot: string }>(`select pg_export_snapshot() as snapshot`);
  return await withAhead(async (ahead) => {
    await ahead.script(
      `begin isolation level repeatable read read only; set transaction snapshot ${quoteLiteral(snapshot)}; ${SHORT_LOCK_WAIT}`,
    );
    const tables = planned.map(({ plan }) => plan.source);
    if (!(await lockBeside(ahead, tables))) return await apply();
    await preparePlanner(ahead, planned);
    const applied = await apply(ahead);
    // No rollback on failure: it would wait behind rows that nobody reads any more. The session is given up instead.
    await ahead.script('commit');
    return applied;
  });
}

/** What to do after the destination refused the whole batch. @throws what concerns more than a row or a relation */
function nextAttempt(error: BucardoError, { lane, destination, mode, failed }: BatchSettings): BatchOutcome {
  const { database, relation } = error.concern;
  const ofDestination = database === lane.destination;
  const scope = ofDestination ? destination.scopeOf(error) : scopeOf(error);
  // A row that the source cannot send is found by the careful mode too.
  const nextMode = ofDestination ? destination.modes[destination.modes.indexOf(mode) + 1] : 'carefully';
  if (scope === 'row' && nextMode !== undefined && nextMode !== mode) {
    return { kind: 'again', mode: nextMode, failed, error };
  }
  if (scope !== 'lane' && relation !== undefined) {
    return { kind: 'again', mode, failed: new Map([...failed, [relation, error]]), error };
  }
  throw error;
}

function outcomesOf(
  state: LaneState,
  attempted: readonly RelationState[],
  { cut, end, mark }: { readonly cut: Txid | undefined; readonly end: Snapshot; readonly mark: Snapshot },
  problems: ReadonlyMap<string, BucardoError>,
): readonly RelationOutcome[] {
  return state.relations.flatMap((relation): readonly RelationOutcome[] => {
    const { hold } = relation;
    const from = hold?.mark ?? state.mark;
    const error = problems.get(displayRelation(relation));
    if (error !== undefined) {
      return [{ kind: 'held', relation, mark: from, attempts: (hold?.attempts ?? 0) + 1, error }];
    }
    if (!attempted.includes(relation)) return [];
    const applied: RelationOutcome = { kind: 'applied', relation, from };
    if (hold === undefined) return [applied];
    const reached = advance(from, end, cut);
    const level = formatSnapshot(reached) === formatSnapshot(mark);
    return [applied, level ? { kind: 'level', relation } : { kind: 'behind', relation, mark: reached }];
  });
}
