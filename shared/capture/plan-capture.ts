/**
 * What `apply` has to do on a source: from what is wanted and what is installed to ordered steps, each of which is one
 * transaction that leaves capture complete for whatever it touches. Pure. Nothing to do is an empty list.
 *
 * Order: control schema, another place's traces, lanes and relations that are gone, one step per table, and only then the lanes,
 * because a lane's mark must be younger than every trigger of its tables. A step that adds a table to a sync wants the
 * table's copy for the lanes that are there already; a lane that is registered later wants copies of all its tables.
 */
import { lanesOfSync } from '../config/lanes.ts';
import type { Database, Sync } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Table } from '../postgres/catalog.ts';
import {
  displayRelation,
  quoteIdentifier,
  quoteLiteral,
  quoteRelation,
  type RelationName,
} from '../postgres/identifiers.ts';
import { adoptionSql } from './adopt-source.ts';
import {
  captureFunctionBody,
  captureFunctionSql,
  captureTriggers,
  type CaptureSpec,
  type CaptureTrigger,
  deltaTableSql,
  quoteCaptureFunction,
  seesRows,
} from './capture-sql.ts';
import { recordStateSql, type DeltaState } from './capture-state.ts';
import { CONTROL_SCHEMA, CONTROL_SCHEMA_VERSION, WAKE_CHANNEL } from './control-schema.ts';
import { guardSql, identitySql, repairDeltaSql } from './delta-guard.ts';
import { chooseDeltaNames } from './delta-name.ts';
import { dropRelationSql, forgetPairSql } from './drop-relation.ts';
import { hasChanged } from './find-losses.ts';
import type { Installed, InstalledRelation, InstalledTrigger, LaneName, TableFacts } from './installed.ts';
import { isReplaced, recordOidSql, replacedSql } from './replaced-table.ts';
import { DATABASE_OID } from './source-identity.ts';
import { recordTypes, retypeSql } from './retype.ts';
import { createTriggersSql, NO_WAITING } from './table-locks.ts';
import { resolveRelations, selectRelations, type WantedRelation } from './wanted.ts';
import { type CaptureLook, needCopySql } from './watch-capture.ts';

export interface PlanStep {
  /** For people: `Capture public.orders`. */
  readonly title: string;
  /** `schema.table` for display, if the step concerns one table. */
  readonly relation?: string;
  /** The syncs that cannot be registered before this step is done. */
  readonly syncs: readonly string[];
  /** Why changes of the relation may have been missed; the step asks for a copy then. */
  readonly missed?: readonly string[];
  /** One transaction. */
  readonly sql: readonly string[];
}

export interface CapturePlan {
  readonly steps: readonly PlanStep[];
  /** If there is any, nothing is applied. */
  readonly problems: readonly BucardoError[];
}

export interface CaptureInput {
  readonly database: Database;
  /** Only those whose source is the database. */
  readonly syncs: readonly Sync[];
  /** What patterns may match. */
  readonly existing: readonly RelationName[];
  /** Descriptions of everything selected that is there, by `displayRelation`. */
  readonly tables: ReadonlyMap<string, Table>;
  /** By `displayRelation`. */
  readonly facts: ReadonlyMap<string, TableFacts>;
  readonly installed: Installed;
  /** What was found of each registered relation, by `displayRelation`. */
  readonly looks: ReadonlyMap<string, CaptureLook>;
  /** Only adds; what the configuration no longer has stays as it is. */
  readonly additive?: boolean | undefined;
}

export function planCapture(input: CaptureInput): CapturePlan {
  const { database, syncs, installed } = input;
  if (installed.origin === undefined && syncs.length === 0) return { steps: [], problems: [] };
  const selected = selectRelations(syncs, input.existing);
  const resolved = resolveRelations(selected, input.tables, input.facts, installed, database.name);
  const problems = [...databaseProblems(database.name, installed), ...resolved.problems];

  const lanes = syncs.flatMap(lanesOfSync);
  const staying = installed.lanes.filter((lane) => lanes.some((wanted) => isSameLane(wanted, lane)));
  const specs = withDeltaNames(resolved.relations, installed, database.wake);
  return {
    problems,
    steps: [
      ...controlSteps(database.name, installed),
      ...(input.additive === true ? [] : removalSteps(installed, staying, selected)),
      ...specs.flatMap((spec) => relationSteps(spec, input, staying)),
      ...syncs.flatMap((sync) => registerSteps(sync, specs, staying)),
    ],
  };
}

/** A relation with a problem is still selected: nothing of it is dropped. */
function removalSteps(
  installed: Installed,
  staying: readonly LaneName[],
  selected: readonly (RelationName & { syncs: readonly string[] })[],
): readonly PlanStep[] {
  const wantedNames = new Set(selected.map(displayRelation));
  return [
    ...installed.lanes.filter((lane) => !staying.includes(lane)).map(unregisterStep),
    ...installed.relations.filter((relation) => !wantedNames.has(displayRelation(relation))).map(dropStep),
    ...forgetSteps(installed, selected),
  ];
}

function databaseProblems(database: string, installed: Installed): readonly BucardoError[] {
  const { origin, mayCreate } = installed;
  const problems: BucardoError[] = [];
  if (origin !== undefined && origin.databaseName !== database) {
    problems.push(
      new BucardoError('BUC-NAME-TAKEN', { database, detail: `recorded as ${origin.databaseName}` }),
    );
  }
  if (!mayCreate) {
    problems.push(
      new BucardoError('BUC-DB-RIGHTS', {
        database,
        detail: 'CREATE on the database, or on schema bucardo if it exists',
      }),
    );
  }
  return problems;
}

interface NamedRelation extends WantedRelation, CaptureSpec {}

function withDeltaNames(
  relations: readonly WantedRelation[],
  installed: Installed,
  wake: Database['wake'],
): readonly NamedRelation[] {
  const registered = new Map(
    installed.relations.map((relation) => [displayRelation(relation), relation.deltaName]),
  );
  const unnamed = relations.filter((relation) => !registered.has(displayRelation(relation)));
  const chosen = chooseDeltaNames(unnamed, new Set([...installed.takenNames, ...registered.values()]));
  return relations.flatMap((relation) => {
    const name = displayRelation(relation);
    const deltaName = registered.get(name) ?? chosen.get(name);
    return deltaName === undefined ? [] : [{ ...relation, deltaName, wake }];
  });
}

function controlSteps(database: string, { origin, relations }: Installed): PlanStep[] {
  const steps: PlanStep[] = [];
  if (origin === undefined || origin.schemaVersion < CONTROL_SCHEMA_VERSION) {
    const record = `insert into bucardo.origin (database_name, system_identifier, database_oid, schema_version)
  select ${quoteLiteral(database)}, system_identifier, ${DATABASE_OID}, ${CONTROL_SCHEMA_VERSION} from pg_control_system()
  on conflict (only_row) do update set schema_version = excluded.schema_version`;
    steps.push({
      title:
        origin === undefined
          ? 'Create schema bucardo and its control tables'
          : 'Bring the control tables up to date',
      syncs: [],
      sql: [CONTROL_SCHEMA, record],
    });
  }
  if (origin?.atHome === false) {
    steps.push({
      title: 'Take over the queue tables of another database: everything becomes pending',
      syncs: [],
      sql: adoptionSql(relations),
    });
  }
  return steps;
}

/** The lane's copies, held relations, status and rejected rows go with it. */
function unregisterStep({ sync, destination }: LaneName): PlanStep {
  return {
    title: `Forget lane ${sync}/${destination}`,
    syncs: [],
    sql: [
      `delete from bucardo.progress where sync = ${quoteLiteral(sync)} and destination = ${quoteLiteral(destination)}`,
    ],
  };
}

function dropStep(relation: InstalledRelation): PlanStep {
  const name = displayRelation(relation);
  return {
    title: `Stop capturing ${name}`,
    relation: name,
    syncs: [],
    sql: dropRelationSql(relation),
  };
}

function forgetSteps(
  installed: Installed,
  selected: readonly (RelationName & { syncs: readonly string[] })[],
) {
  const syncsOf = new Map(selected.map((relation) => [displayRelation(relation), relation.syncs]));
  return installed.syncRelations.flatMap(({ sync, ...relation }): PlanStep[] => {
    const name = displayRelation(relation);
    const syncs = syncsOf.get(name);
    // Of a relation in no sync at all every trace is dropped anyway.
    if (syncs === undefined || syncs.includes(sync)) return [];
    return [
      {
        title: `Take ${name} out of sync ${sync}`,
        relation: name,
        syncs: [],
        sql: forgetPairSql(sync, relation),
      },
    ];
  });
}

function relationSteps(
  spec: NamedRelation,
  { installed, syncs, looks, tables }: CaptureInput,
  lanes: readonly LaneName[],
): readonly PlanStep[] {
  const relation = displayRelation(spec);
  const known = installed.relations.find((candidate) => displayRelation(candidate) === relation);
  const added = spec.syncs.filter(
    (sync) =>
      !installed.syncRelations.some(
        (pair) => pair.sync === sync && pair.schema === spec.schema && pair.table === spec.table,
      ),
  );
  const look = looks.get(relation);
  const missed = known === undefined ? [] : (look?.losses ?? []);
  const oid = tables.get(relation)?.oid;
  const replaced = known !== undefined && isReplaced(known, oid);
  const capture =
    known === undefined
      ? newRelationSql(spec)
      : [
          ...(replaced ? replacedSql(spec) : []),
          ...repairSql(spec, known, look?.state.delta),
          ...(known.tableOid === oid ? [] : recordOidSql(spec)),
        ];
  const sql = [
    ...(missed.length > 0 ? [needCopySql(spec)] : []),
    ...capture,
    ...(known === undefined || capture.length > 0 || missed.length > 0 || isUnrecorded(look)
      ? [recordStateSql(spec, known === undefined ? undefined : look?.state)]
      : []),
    ...added.flatMap((name) => {
      const sync = syncs.find((candidate) => candidate.name === name);
      return sync === undefined ? [] : addToSyncSql(spec, sync, lanes);
    }),
  ];
  if (sql.length === 0) return [];
  const title =
    known === undefined
      ? `Capture ${relation}`
      : added.length > 0
        ? `Add ${relation} to sync ${added.join(', ')}`
        : `Bring the capture of ${relation} up to date`;
  if (replaced) {
    const detail = 'another table has the name now, and it needs a copy';
    return [{ title: `${title}: ${detail}`, relation, syncs: spec.syncs, sql }];
  }
  if (missed.length === 0) return [{ title, relation, syncs: spec.syncs, sql }];
  const why = `changes may have been missed, and it needs a copy (${missed.join('; ')})`;
  return [{ title: `${title}: ${why}`, relation, syncs: spec.syncs, missed, sql }];
}

/** Nobody has looked yet, or somebody has to look anew: what is there counts as seen from now on. */
function isUnrecorded(look: CaptureLook | undefined): boolean {
  return look === undefined || look.state.recorded === undefined || hasChanged(look.state);
}

/** What locks nothing comes first, so that the application's table is locked for as short a time as can be. */
function newRelationSql(spec: NamedRelation): readonly string[] {
  const key = spec.key.map(({ name }) => quoteLiteral(name)).join(', ');
  return [
    `insert into bucardo.relation (schema_name, table_name, delta_name, key_columns, capture)
  values (${quoteLiteral(spec.schema)}, ${quoteLiteral(spec.table)}, ${quoteLiteral(spec.deltaName)}, array[${key}], '${spec.capture}')`,
    recordTypes(spec),
    ...guardedDeltaSql(spec),
    ...captureFunctionSql(spec),
    ...createTriggersSql(captureTriggers(spec), {
      partitioned: spec.partitions.length > 0,
      replacing: false,
    }),
    // The triggers' locks keep the name on this table until the step is committed.
    `update bucardo.relation set table_oid = ${quoteLiteral(quoteRelation(spec))}::regclass where ${relationIs(spec)}`,
    ...firingSql(spec, []),
  ];
}

function guardedDeltaSql(spec: NamedRelation): readonly string[] {
  return [...deltaTableSql(spec), identitySql(spec.deltaName), ...guardSql(spec.deltaName)];
}

function repairSql(
  spec: NamedRelation,
  known: InstalledRelation,
  delta: DeltaState | undefined,
): readonly string[] {
  const triggers = captureTriggers(spec);
  const own = known.triggers.filter(({ cloned }) => !cloned);
  const missing = triggers.filter((trigger) => !own.some((installed) => isSameTrigger(trigger, installed)));
  const unexpected = own.some((installed) => !triggers.some((trigger) => isSameTrigger(trigger, installed)));
  const functionDiffers = known.functionSource !== captureFunctionBody(spec);
  const again = unexpected && known.functionSource !== undefined;
  const partitioned = spec.partitions.length > 0;
  return [
    ...(known.capture === spec.capture
      ? []
      : [`update bucardo.relation set capture = '${spec.capture}' where ${relationIs(spec)}`]),
    // What was pending in a delta table that somebody dropped is lost: the look has found that, and the step wants a copy.
    ...(known.deltaColumns === undefined ? guardedDeltaSql(spec) : []),
    ...(again && partitioned ? [NO_WAITING] : []),
    // Dropping the function drops the triggers that call it, which their own DROP would allow to the table's owner only.
    ...(again ? [`drop function ${quoteCaptureFunction(spec.deltaName)}() cascade`] : []),
    ...(again || functionDiffers ? captureFunctionSql(spec) : []),
    // A trigger of our name that calls something else is in the way.
    ...createTriggersSql(again ? triggers : missing, { partitioned, replacing: true }),
    ...firingSql(spec, again ? [] : known.triggers),
    // After the table's locks, as writers have them: so a writer that waits for the delta table never has what the step waits for.
    ...retypeSql(spec, known),
    ...(delta === undefined ? [] : repairDeltaSql(spec.deltaName, delta)),
  ];
}

/**
 * Triggers are created so that they fire for applications; on tables that a subscription writes those that see rows must
 * fire in its replica role too. Needs the table's ownership, hence only where it is not so already.
 */
function firingSql(spec: NamedRelation, installed: InstalledRelation['triggers']): readonly string[] {
  const wanted = (name: string) => (spec.always && seesRows(name) ? 'A' : 'O');
  const triggers = captureTriggers(spec);
  // A clone on a partition is made with the parent's setting of then, and changed on its own.
  const clones = triggers
    .filter(({ name }) => seesRows(name))
    .flatMap(({ name, rare }) => spec.partitions.map((on) => ({ name, on, rare })));
  return [...triggers, ...clones].flatMap((trigger) => {
    const { name, on } = trigger;
    const now = installed.find((candidate) => isSameTrigger(trigger, candidate))?.enabled ?? 'O';
    if (now === wanted(name)) return [];
    return [
      `alter table ${quoteRelation(on)} enable ${wanted(name) === 'A' ? 'always ' : ''}trigger ${quoteIdentifier(name)}`,
    ];
  });
}

function addToSyncSql(spec: NamedRelation, sync: Sync, lanes: readonly LaneName[]): readonly string[] {
  return [
    `insert into bucardo.sync_relation (sync, schema_name, table_name)
  values (${quoteLiteral(sync.name)}, ${quoteLiteral(spec.schema)}, ${quoteLiteral(spec.table)})`,
    ...lanes.filter((lane) => lane.sync === sync.name).flatMap((lane) => wantCopySql(lane, sync, spec)),
  ];
}

function wantCopySql(lane: LaneName, sync: Sync, relation: WantedRelation): readonly string[] {
  if (sync.copy === 'never') return [];
  const names = [lane.sync, lane.destination, relation.schema, relation.table].map(quoteLiteral).join(', ');
  return [
    `insert into bucardo.copy (sync, destination, schema_name, table_name, policy, state, rows_estimated)
  values (${names}, '${sync.copy}', 'wanted', ${Math.round(relation.estimatedRows)})
  on conflict do nothing`,
    // A copy is no change that wakes anybody; whoever listens kicks the sync's lanes, as for Bucardo's own triggers.
    `select pg_notify('${WAKE_CHANNEL}', ${quoteLiteral(`kick_sync_${sync.name}`)})`,
  ];
}

/**
 * The mark is the snapshot of the step's first statement. All triggers are committed by then, and each was created under a
 * lock that waits for every writer of its table: what the mark covers and no delta has is visible to every later copy.
 */
function registerSteps(
  sync: Sync,
  relations: readonly NamedRelation[],
  lanes: readonly LaneName[],
): readonly PlanStep[] {
  return lanesOfSync(sync)
    .filter((lane) => !lanes.some((known) => isSameLane(lane, known)))
    .map((lane): PlanStep => {
      const names = `${quoteLiteral(lane.sync)}, ${quoteLiteral(lane.destination)}`;
      return {
        title: `Register lane ${lane.id}`,
        syncs: [sync.name],
        sql: [
          `insert into bucardo.progress (sync, destination, mark, system_identifier)
  select ${names}, txid_current_snapshot(), system_identifier from pg_control_system()`,
          `insert into bucardo.lane_status (sync, destination) values (${names})`,
          ...relations
            .filter(({ syncs }) => syncs.includes(sync.name))
            .flatMap((relation) => wantCopySql(lane, sync, relation)),
        ],
      };
    });
}

function isSameLane(a: LaneName, b: LaneName): boolean {
  return a.sync === b.sync && a.destination === b.destination;
}

function isSameTrigger(wanted: Omit<CaptureTrigger, 'sql'>, installed: InstalledTrigger): boolean {
  const { name, on, rare } = installed;
  return wanted.name === name && displayRelation(wanted.on) === displayRelation(on) && wanted.rare === rare;
}

function relationIs({ schema, table }: RelationName): string {
  return `schema_name = ${quoteLiteral(schema)} and table_name = ${quoteLiteral(table)}`;
}
