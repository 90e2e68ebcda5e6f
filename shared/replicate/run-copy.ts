/**
 * The first copy of a lane's tables, one chunk of keys at a time, in the order of the source's key.
 *
 * 1. The chunk's upper end is recorded on the source ("open"). From then on deltas reach up to that end, so nothing that happens to
 *    these keys can be missed, however the chunk ends.
 * 2. A fresh snapshot of the source is read into the target and committed there.
 * 3. The chunk is recorded as done.
 *
 * Deltas of keys beyond the open chunk are left out before its snapshot is taken, and the snapshot shows what they meant. A chunk that was
 * open already when the run began may be at the target in part: it is applied as changes instead of added to an empty
 * range. A chunk that is recorded as done is never read again.
 */
import type { Lane } from '../config/types.ts';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { scopeOf } from '../postgres/error-scope.ts';
import { displayRelation, quoteIdentifier } from '../postgres/identifiers.ts';
import type { ApplyMode, Destination } from '../targets/target.ts';
import { chunkRows } from './chunk-rows.ts';
import { closeChunk, type CopyVersion, endCopy, holdCopy, openChunk } from './copy-record.ts';
import { beginCopies } from './copy-records.ts';
import { copySmallTables, isSmall, TABLES_PER_STEP } from './copy-small-tables.ts';
import { type Boundary, keyAfter, keyOrder } from './key-range.ts';
import type { CopyState, LaneState, OpenChunk, RelationState } from './lane-state.ts';
import { park } from './park.ts';
import { recordWrites } from './record-batch.ts';
import { areAsPlanned, describeUnlocked, isLockTimeout, SHORT_LOCK_WAIT } from './lock-tables.ts';
import { planRelation, type RelationPlan } from './relation-plan.ts';
import { orderedKey, readRange, sourceTable } from './source-reader.ts';
import { parentsFirst } from './table-order.ts';

export interface CopySettings {
  readonly lane: Lane;
  readonly destination: Destination;
  /** As the last batch saw it, under the same lock. */
  readonly state: LaneState;
  readonly attempt: CopyAttempt;
}

/** How a chunk is tried. */
export interface CopyAttempt {
  /** `fill` for a range that is empty at the target, which is tried first. */
  readonly mode: ApplyMode | 'fill';
  /** The chunk that an earlier attempt of this step opened, and its record's version. */
  readonly opened: (OpenChunk & { readonly version: CopyVersion }) | undefined;
}

export type CopyOutcome =
  | { readonly kind: 'nothing to copy' }
  | {
      readonly kind: 'advanced';
      readonly rows: number;
      readonly refused: number;
      /** Tables of which nothing is copied, because the target has rows. */
      readonly skipped?: readonly string[];
    }
  /** The chunk did not get in: try again in another mode. The source connection must be replaced. */
  | { readonly kind: 'again'; readonly attempt: CopyAttempt; readonly error: BucardoError }
  /** The copy's record was not what it was: it was asked for anew, or another run is at work. Begin again. */
  | { readonly kind: 'overtaken' }
  /** The table cannot be copied now: hold it. The source connection must be replaced. */
  | { readonly kind: 'refused'; readonly relation: RelationState; readonly error: BucardoError };

interface Candidate {
  readonly relation: RelationState;
  readonly copy: CopyState;
  readonly plan: RelationPlan;
}

/** Takes one step: decides on all tables that have just been asked for, or copies one chunk. */
export async function runCopyStep(source: Connection, settings: CopySettings): Promise<CopyOutcome> {
  const open = settings.state.relations.filter(
    ({ copy, hold, problem }) =>
      copy !== undefined && problem === undefined && (hold === undefined || hold.due),
  );
  const wanted = open.filter(({ copy }) => copy?.state === 'wanted');
  if (wanted.length > 0) {
    const candidates = await planCandidates(source, settings, wanted);
    try {
      const skipped = await prepareTables(source, settings, candidates);
      return { kind: 'advanced', rows: 0, refused: 0, skipped };
    } catch (error) {
      return refusalOf(settings, candidates, asBucardoError(error));
    }
  }
  // Only foreign keys make it necessary to know all tables before some are chosen.
  const choice = settings.destination.checksForeignKeys ? open : open.slice(0, TABLES_PER_STEP);
  const candidates = parentsFirst(await planCandidates(source, settings, choice));
  const small = settings.attempt.opened === undefined ? leadingSmall(candidates) : [];
  if (small.length > 1) return await copyMany(source, settings, small);
  const [next] = candidates;
  if (next !== undefined) return await copyChunk(source, settings, next);
  return choice.length === 0 ? { kind: 'nothing to copy' } : { kind: 'advanced', rows: 0, refused: 0 };
}

/** In their order, so that no table comes before one that it refers to. */
function leadingSmall(candidates: readonly Candidate[]): readonly Candidate[] {
  const end = candidates.findIndex((candidate) => !isSmall(candidate));
  return candidates.slice(0, Math.min(TABLES_PER_STEP, end === -1 ? candidates.length : end));
}

async function copyMany(
  source: Connection,
  settings: CopySettings,
  small: readonly Candidate[],
): Promise<CopyOutcome> {
  const { lane, destination, attempt } = settings;
  try {
    const rows = await copySmallTables(source, settings, small);
    return rows === undefined ? { kind: 'overtaken' } : { kind: 'advanced', rows, refused: 0 };
  } catch (thrown) {
    const error = asBucardoError(thrown);
    const ofDestination = error.concern.database === lane.destination;
    if ((ofDestination ? destination.scopeOf(error) : scopeOf(error)) === 'lane') throw error;
    // Their chunks are open now, so the next look finds them so, and each is brought by itself.
    return { kind: 'again', attempt, error };
  }
}

/** Relations with a copy to do that can be planned; those that cannot are held. */
async function planCandidates(
  source: Connection,
  { lane, destination, state }: CopySettings,
  open: readonly RelationState[],
): Promise<readonly Candidate[]> {
  if (open.length === 0) return [];
  const { tables: sourceTables, unreadable } = await describeUnlocked(source, open);
  const targetTables = await destination.describe(open);
  const laneKeys = new Map(state.relations.map((one) => [displayRelation(one), one.keyColumns]));
  const names = { source: lane.source, destination: lane.destination };
  const candidates: Candidate[] = [];
  for (const relation of open) {
    const name = displayRelation(relation);
    try {
      const locked = unreadable.get(name);
      if (locked !== undefined) throw locked;
      const [inSource, inTarget] = [sourceTables.get(name), targetTables.get(name)];
      const plan = planRelation(relation, inSource, inTarget, names, laneKeys);
      if (relation.copy !== undefined) candidates.push({ relation, copy: relation.copy, plan });
    } catch (error) {
      const tried = { attempts: (relation.hold?.attempts ?? 0) + 1, lookedAt: state.lookedAt };
      await holdCopy(source, lane, relation, asBucardoError(error), tried);
    }
  }
  return candidates;
}

/** Whether each table is copied at all is decided once, before its first chunk. Returns those that are not. */
async function prepareTables(
  source: Connection,
  { lane, destination }: CopySettings,
  wanted: readonly Candidate[],
): Promise<readonly string[]> {
  const full: Candidate[] = [];
  const ready: Candidate[] = [];
  const skipped: string[] = [];
  for (const candidate of wanted) {
    if (await destination.isEmpty(candidate.plan)) ready.push(candidate);
    else if (candidate.copy.policy === 'always') full.push(candidate);
    else {
      await endCopy(source, lane, candidate.plan, candidate.copy.version, { skipped: true });
      skipped.push(displayRelation(candidate.plan));
    }
  }
  // All in one transaction: tables that refer to each other can only be emptied together.
  if (full.length > 0) {
    await destination.empty(full.map(({ plan }) => plan));
    await recordWrites(source, lane, destination.written);
  }
  await beginCopies(
    source,
    lane,
    [...ready, ...full].map(({ plan: { schema, table, source: described }, copy: { version } }) => {
      return { schema, table, version, estimatedRows: described.estimatedRows };
    }),
  );
  return skipped;
}

/** A table that is locked waits; the other tables' copies go on. */
async function copyChunk(
  source: Connection,
  settings: CopySettings,
  candidate: Candidate,
): Promise<CopyOutcome> {
  try {
    return await readChunk(source, settings, candidate);
  } catch (thrown) {
    const error = asBucardoError(thrown);
    const { lane } = settings;
    const ofTable = isLockTimeout(error) || scopeOf(error) === 'relation';
    if (error.concern.database !== lane.source || !ofTable) throw error;
    const concern = { database: lane.source, relation: displayRelation(candidate.relation) };
    const refusal = isLockTimeout(error)
      ? new BucardoError('BUC-TABLE-LOCKED', { ...concern, cause: error })
      : error.with(concern);
    return { kind: 'refused', relation: candidate.relation, error: refusal };
  }
}

async function readChunk(
  source: Connection,
  settings: CopySettings,
  { relation, copy, plan }: Candidate,
): Promise<CopyOutcome> {
  const { lane, destination } = settings;
  const rowsPerChunk = chunkRows(plan.source);
  let { mode, opened } = settings.attempt;
  if (copy.open !== undefined) {
    opened = { ...copy.open, version: copy.version };
    // It may be at the target in part.
    if (mode === 'fill') mode = destination.modes[0];
  }
  if (opened === undefined) {
    const whole = !hasChunks(plan, destination);
    const upTo = whole ? undefined : await chunkEnd(source, plan, copy.doneTo, rowsPerChunk);
    const version = await openChunk(source, lane, plan, copy.version, upTo);
    if (version === undefined) return { kind: 'overtaken' };
    opened = { upTo, version };
  }
  const { upTo, version } = opened;
  await source.script(`begin isolation level repeatable read read only; ${SHORT_LOCK_WAIT}`);
  if (!(await areAsPlanned(source, [plan.source]))) {
    await source.script('rollback');
    return { kind: 'overtaken' };
  }
  const estimatedRows = upTo === undefined ? Math.max(rowsPerChunk, plan.source.estimatedRows) : rowsPerChunk;
  const changes = readRange(source, plan, { after: copy.doneTo, upTo, estimatedRows });
  let applied;
  try {
    applied =
      mode === 'fill'
        ? { rows: await destination.fillRanges([changes]), refused: [] }
        : await destination.apply([changes], mode);
  } catch (error) {
    return nextAttempt(settings, relation, { mode, opened }, asBucardoError(error));
  }
  await source.script('commit');
  if (applied.refused.length > 0) {
    const mark = relation.hold?.mark ?? settings.state.mark;
    await source.transaction('read committed', () =>
      park(source, applied.refused, { lane, deltasOf: () => ({ mark, cut: undefined }), mayPass: true }),
    );
  }
  if (upTo === undefined) await endCopy(source, lane, plan, version, { writes: destination.written });
  else await closeChunk(source, lane, plan, version, applied.rows, destination.written);
  return { kind: 'advanced', rows: applied.rows, refused: applied.refused.length };
}

/**
 * Rows with NULL in their key have no place in the key's order, and rows that refer to their own table may refer to a later chunk's:
 * such a table is one chunk.
 */
function hasChunks(plan: RelationPlan, { checksForeignKeys }: Destination): boolean {
  const refersToItself = plan.target.foreignKeys.some(
    ({ references }) => displayRelation(references) === displayRelation(plan),
  );
  return !plan.nullableKey && !(checksForeignKeys && refersToItself);
}

/** The last key of the next chunk; undefined if the chunk goes to the table's end. */
async function chunkEnd(
  source: Connection,
  plan: RelationPlan,
  after: Boundary | undefined,
  rows: number,
): Promise<Boundary | undefined> {
  const key = orderedKey(plan);
  const where = after === undefined ? '' : `where ${keyAfter('t', key, after)}`;
  const select = `select array[${key.map(({ name }) => `t.${quoteIdentifier(name)}::text`).join(', ')}] as key
     from ${sourceTable(plan)} t ${where}
     order by ${keyOrder('t', key)} offset ${rows - 1} limit 1`;
  const [end] = await source.transaction(
    'read committed',
    () => source.rows<{ key: string[] }>(select),
    SHORT_LOCK_WAIT,
  );
  return end?.key;
}

/** What to do after the destination refused the chunk. @throws what concerns more than a relation */
function nextAttempt(
  { lane, destination }: CopySettings,
  relation: RelationState,
  { mode, opened }: CopyAttempt,
  error: BucardoError,
): CopyOutcome {
  const ofDestination = error.concern.database === lane.destination;
  const scope = ofDestination ? destination.scopeOf(error) : scopeOf(error);
  if (scope === 'lane') throw error;
  const orderedMode =
    mode === 'fill' ? destination.modes[0] : destination.modes[destination.modes.indexOf(mode) + 1];
  // A row that the source cannot send is found by the careful mode too.
  const nextMode = ofDestination ? orderedMode : 'carefully';
  if (scope === 'row' && nextMode !== undefined && nextMode !== mode)
    return { kind: 'again', attempt: { mode: nextMode, opened }, error };
  return { kind: 'refused', relation, error };
}

/** Which table could not be prepared. @throws what concerns more than a relation */
function refusalOf(
  { lane, destination }: CopySettings,
  wanted: readonly Candidate[],
  error: BucardoError,
): CopyOutcome {
  const { database, relation: name } = error.concern;
  const refused = wanted.find(({ relation }) => displayRelation(relation) === name);
  const scope = database === lane.destination ? destination.scopeOf(error) : scopeOf(error);
  if (scope === 'lane' || refused === undefined) throw error;
  return { kind: 'refused', relation: refused.relation, error };
}
