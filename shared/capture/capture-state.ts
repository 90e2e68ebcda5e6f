/**
 * The state of capture as the catalogs have it now, beside the state that was recorded when somebody last looked. A trigger that was
 * switched off and on again leaves a trace: its catalog row has another version (`xmin`) than the recorded one.
 *
 * Changes that an application made in the replica role (`session_replication_role`) leave no trace at all.
 */
import type { Connection } from '../postgres/connection.ts';
import { quoteLiteral, quoteRelation, type RelationName } from '../postgres/identifiers.ts';
import type { CaptureLevel } from './capture-sql.ts';
import { captureFunctionName } from './delta-name.ts';
import { DATABASE_OID } from './source-identity.ts';

/** One trigger that calls the relation's capture function. */
export interface TriggerState {
  readonly oid: number;
  /** xmin of its row in pg_trigger: another one after every ALTER, also after disabling and enabling. */
  readonly version: string;
  /** Oid of the table that has the trigger. */
  readonly on: number;
  readonly name: string;
  /** pg_trigger.tgenabled: `O` fires but not in the replica role, `A` always, `D` never, `R` only in the replica role. */
  readonly enabled: string;
  /**
   * The event bits of pg_trigger.tgtype: INSERT 4, DELETE 8, UPDATE 16, TRUNCATE 32. None of a row trigger with an argument, as
   * version 2 had one: what it sees of rows is no more than a changed key.
   */
  readonly events: number;
}

/** A partition at any level. */
export interface PartitionState extends RelationName {
  readonly oid: number;
  /** pg_class.relkind: `r` has rows, `p` has partitions, `f` is foreign. */
  readonly kind: string;
  /** pg_class.relfilenode: another one after TRUNCATE and after whatever rewrites the table. */
  readonly file: number;
  /**
   * xmin and cmin of its row in pg_inherits: the transaction and the command that attached it; of the partition above it, if that was
   * attached later.
   */
  readonly attachedBy: { readonly transaction: string; readonly command: string };
}

export interface DeltaState {
  readonly oid: number;
  /** pg_class.relreplident. */
  readonly identity: string;
  /** Names of the guard's triggers that fire for everybody but the replica role. */
  readonly guards: readonly string[];
}

/** What bucardo.capture_state has. */
export interface RecordedState {
  /** Where the oids and versions mean something: @see CaptureState.place */
  readonly place: string;
  readonly functionHash: string;
  readonly deltaOid: number;
  readonly triggers: readonly Pick<TriggerState, 'oid' | 'version' | 'on' | 'name'>[];
  readonly partitions: readonly (Pick<PartitionState, 'oid' | 'kind' | 'file'> & { readonly name: string })[];
}

export interface CaptureState extends RelationName {
  readonly deltaName: string;
  readonly capture: CaptureLevel;
  /** Of the table that was captured; undefined if it is gone, or another one has its name. */
  readonly oid: number | undefined;
  readonly partitioned: boolean;
  /** A subscription writes the table or a partition: triggers that see rows must fire in the replica role. */
  readonly subscribed: boolean;
  /** Rows may be written through another table: as a partition, or through a parent that the table inherits from. */
  readonly hasParent: boolean;
  /** md5 of pg_proc.prosrc; undefined if the function is gone. */
  readonly functionHash: string | undefined;
  readonly triggers: readonly TriggerState[];
  readonly partitions: readonly PartitionState[];
  /** Undefined if the delta table is gone. */
  readonly delta: DeltaState | undefined;
  /** Undefined before the first look. */
  readonly recorded: RecordedState | undefined;
  /** Cluster and database: oids and versions of one mean nothing in another. */
  readonly place: string;
}

/** Cluster and database of the session. */
const PLACE = `(select format('%s/%s', s.system_identifier, ${DATABASE_OID}) from pg_control_system() s)`;

/** Name of the trigger function that guards delta tables: @see delta-guard.ts */
const GUARD = 'delta_lost';

/**
 * One row per registered relation, with the partitions that its table has at all levels. `table_oid` is missing before version 3, hence
 * the way through json; so is pg_inherits.inhdetachpending before Postgres 14.
 */
const READ_RELATIONS = `
  with recursive registered as (
    select r.schema_name, r.table_name, r.delta_name, r.capture, c.oid, c.relkind, c.relispartition
    from bucardo.relation r
    left join pg_namespace n on n.nspname = r.schema_name
    left join pg_class c on c.relnamespace = n.oid and c.relname = r.table_name and c.relkind in ('r', 'p')
      and c.oid = coalesce((to_jsonb(r) ->> 'table_oid')::oid, c.oid)
  ),
  member(root, oid, transaction, command) as (
    select oid, oid, null::text, null::text from registered where relkind = 'p'
    union all
    select m.root, i.inhrelid, case when newer then i.xmin::text else m.transaction end,
      case when newer then i.cmin::text else m.command end
    from member m
    join pg_inherits i on i.inhparent = m.oid
    cross join lateral (
      select m.transaction is null or age(i.xmin) < age(m.transaction::xid)
        or age(i.xmin) = age(m.transaction::xid) and i.cmin::text::int8 > m.command::int8 as newer
    ) attached
    where not coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
  ),
  part as (
    select m.root, json_agg(json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'table', c.relname, 'kind', c.relkind,
      'file', c.relfilenode::int8,
      'attachedBy', json_build_object('transaction', m.transaction, 'command', m.command)) order by c.oid) as partitions
    from member m
    join pg_class c on c.oid = m.oid
    join pg_namespace n on n.oid = c.relnamespace
    where m.oid <> m.root
    group by m.root
  )
  select r.schema_name as schema, r.table_name as table, r.delta_name as "deltaName", r.capture, r.oid::int8::text as oid,
    coalesce(r.relkind = 'p', false) as partitioned,
    exists (
      select from pg_subscription_rel s
      where s.srrelid = r.oid or exists (select from member m where m.root = r.oid and m.oid = s.srrelid)
    ) as subscribed,
    coalesce(r.relispartition, false) or exists (select from pg_inherits i where i.inhrelid = r.oid) as "hasParent",
    coalesce(part.partitions, '[]') as partitions,
    ${PLACE} as place
  from registered r
  left join part on part.root = r.oid
  order by r.schema_name, r.table_name`;

/** One row per capture function, with the triggers that call it, whatever they are called and wherever they are. */
const READ_FUNCTIONS = `
  select p.proname as name, md5(p.prosrc) as hash,
    coalesce(json_agg(json_build_object('oid', t.oid::int8, 'version', t.xmin::text, 'on', t.tgrelid::int8,
      'name', t.tgname, 'enabled', t.tgenabled, 'events', t.tgtype::int & case when t.tgnargs > 0 and t.tgtype::int & 1 = 1 then 0 else 60 end) order by t.oid)
      filter (where t.oid is not null), '[]') as triggers
  from pg_proc p
  left join pg_trigger t on t.tgfoid = p.oid
  where p.pronamespace = to_regnamespace('bucardo') and p.proname like 'capture\\_%'
  group by p.oid, p.proname, p.prosrc`;

/** One row per table in schema bucardo that is a relation's delta table. */
const READ_DELTAS = `
  select c.relname as name, c.oid::int8::text as oid, c.relreplident as identity,
    array(
      select t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = c.oid and p.proname = '${GUARD}' and p.pronamespace = c.relnamespace and t.tgenabled in ('O', 'A')
      order by 1
    ) as guards
  from bucardo.relation r
  join pg_class c on c.relname = r.delta_name and c.relnamespace = to_regnamespace('bucardo') and c.relkind = 'r'`;

const READ_RECORDED = `
  select schema_name as schema, table_name as table, place, function_hash as "functionHash", delta_oid::int8::text as "deltaOid",
    triggers, partitions
  from bucardo.capture_state`;

type RelationRow = Omit<CaptureState, 'oid' | 'functionHash' | 'triggers' | 'delta' | 'recorded'> & {
  readonly oid: string | null;
};

interface FunctionRow {
  readonly name: string;
  readonly hash: string;
  readonly triggers: readonly TriggerState[];
}

type DeltaRow = Omit<DeltaState, 'oid'> & { readonly name: string; readonly oid: string };
type RecordedRow = RelationName & Omit<RecordedState, 'deltaOid'> & { readonly deltaOid: string };

/**
 * The registered relations in the order of their names; none where the control schema is not there. Several statements: the caller
 * wraps them in one snapshot. Takes no locks beyond those of reading catalogs.
 */
export async function readCaptureStates(db: Connection): Promise<readonly CaptureState[]> {
  const { there, recording } = await db.row<{ there: boolean; recording: boolean }>(
    `select to_regclass('bucardo.relation') is not null as there,
       to_regclass('bucardo.capture_state') is not null as recording`,
  );
  if (!there) return [];
  const relations = await db.rows<RelationRow>(READ_RELATIONS);
  const functions = byName(await db.rows<FunctionRow>(READ_FUNCTIONS));
  const deltas = byName(await db.rows<DeltaRow>(READ_DELTAS));
  const recorded = new Map(
    (recording ? await db.rows<RecordedRow>(READ_RECORDED) : []).map((row) => [quoted(row), row]),
  );
  return relations.map((relation): CaptureState => {
    const capture = functions.get(captureFunctionName(relation.deltaName));
    const delta = deltas.get(relation.deltaName);
    const known = recorded.get(quoted(relation));
    return {
      ...relation,
      oid: relation.oid === null ? undefined : Number(relation.oid),
      functionHash: capture?.hash,
      triggers: capture?.triggers ?? [],
      delta: delta === undefined ? undefined : { ...delta, oid: Number(delta.oid) },
      recorded: known === undefined ? undefined : { ...known, deltaOid: Number(known.deltaOid) },
    };
  });
}

function byName<Row extends { readonly name: string }>(rows: readonly Row[]): ReadonlyMap<string, Row> {
  return new Map(rows.map((row) => [row.name, row]));
}

function quoted({ schema, table }: RelationName): string {
  return JSON.stringify([schema, table]);
}

/**
 * Records the state of one relation, which `apply` has just brought about. Only what the statement's own transaction made counts as new:
 * a trigger or partition that was there before counts as it was planned with, so that what somebody did to it since is found
 * by the next look.
 *
 * @param planned the state that was looked at; undefined for a relation that is captured anew
 */
export function recordStateSql(
  relation: RelationName & { readonly deltaName: string },
  planned: Pick<CaptureState, 'triggers' | 'partitions'> | undefined,
): string {
  const is = `schema_name = ${quoteLiteral(relation.schema)} and table_name = ${quoteLiteral(relation.table)}`;
  const oid = `(select coalesce(table_oid, ${quoteLiteral(quoteRelation(relation))}::regclass::oid) from bucardo.relation where ${is})`;
  const triggers = (planned?.triggers ?? []).map(({ oid, version }) => ({ oid, version }));
  const partitions = (planned?.partitions ?? []).map(({ oid }) => oid);
  const own = `(txid_current() % (1::int8 << 32))::text`;
  return `
insert into bucardo.capture_state (schema_name, table_name, place, function_hash, delta_oid, triggers, partitions)
with recursive member(oid) as (
  select ${oid}
  union all
  select i.inhrelid from member m join pg_inherits i on i.inhparent = m.oid
  join pg_class c on c.oid = i.inhrelid and c.relispartition
)
select ${quoteLiteral(relation.schema)}, ${quoteLiteral(relation.table)}, ${PLACE}, md5(p.prosrc), d.oid,
  (
    select coalesce(json_agg(json_build_object('oid', t.oid::int8, 'on', t.tgrelid::int8, 'name', t.tgname,
      'version', case when t.xmin::text = ${own} then t.xmin::text else known.version end)), '[]')
    from pg_trigger t
    left join json_to_recordset(${quoteLiteral(JSON.stringify(triggers))}) known(oid int8, version text) on known.oid = t.oid::int8
    where t.tgfoid = p.oid and (t.xmin::text = ${own} or known.oid is not null)
  ),
  (
    select coalesce(json_agg(json_build_object('oid', c.oid::int8, 'kind', c.relkind, 'file', c.relfilenode::int8,
      'name', format('%s.%s', n.nspname, c.relname))), '[]')
    from member m
    join pg_class c on c.oid = m.oid and c.relispartition
    join pg_namespace n on n.oid = c.relnamespace
    where ${planned === undefined ? 'true' : `c.oid::int8 = any(array[${partitions.join(', ')}]::int8[])`}
      and c.oid <> ${oid}
  )
from pg_proc p, pg_class d
where p.proname = ${quoteLiteral(captureFunctionName(relation.deltaName))} and p.pronamespace = 'bucardo'::regnamespace
  and d.relname = ${quoteLiteral(relation.deltaName)} and d.relnamespace = 'bucardo'::regnamespace
on conflict (schema_name, table_name) do update set
  place = excluded.place, function_hash = excluded.function_hash, delta_oid = excluded.delta_oid,
  triggers = excluded.triggers, partitions = excluded.partitions, recorded_at = clock_timestamp()`;
}

/** Records what a look has seen, as it was seen. */
export async function recordSeen(db: Connection, state: CaptureState): Promise<void> {
  await db.run(
    `update bucardo.capture_state set place = $3, function_hash = $4, delta_oid = $5, triggers = $6, partitions = $7,
       recorded_at = clock_timestamp()
     where (schema_name, table_name) = ($1, $2)`,
    [
      state.schema,
      state.table,
      state.place,
      state.functionHash ?? '',
      state.delta?.oid ?? 0,
      JSON.stringify(state.triggers.map(({ oid, version, on, name }) => ({ oid, version, on, name }))),
      JSON.stringify(
        state.partitions.map(({ oid, kind, file, schema, table }) => ({
          oid,
          kind,
          file,
          name: `${schema}.${table}`,
        })),
      ),
    ],
  );
}
