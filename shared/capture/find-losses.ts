/**
 * Which changes may have been missed, from the state of capture beside the recorded one. Pure. Whatever makes a trigger not fire for
 * a while means that rows may have changed unseen: only a copy makes the targets equal again.
 *
 * The state tells what may have happened since the last look; what is wrong now is told at every look, until it is mended.
 */
import { isGuarded } from './delta-guard.ts';
import type { CaptureState, PartitionState, TriggerState } from './capture-state.ts';

const EVENTS: readonly (readonly [bit: number, name: string])[] = [
  [4, 'INSERT'],
  [16, 'UPDATE'],
  [8, 'DELETE'],
  [32, 'TRUNCATE'],
];
const TRUNCATE = 32;

/**
 * Reasons for people, each a clause: `trigger bucardo_capture_insert is disabled`. Empty: nothing was missed as far as can be known.
 *
 * A relation whose table is gone or replaced gives none: that is told as such.
 */
export function findLosses(state: CaptureState): readonly string[] {
  if (state.oid === undefined) return [];
  return [...new Set([...lossesNow(state), ...lossesSince(state)])];
}

/** Whether the recorded state differs from the one that was seen, so that it has to be recorded anew. */
export function hasChanged(state: CaptureState): boolean {
  const { recorded } = state;
  if (recorded === undefined) return false;
  const triggers = (list: readonly Pick<TriggerState, 'oid' | 'version'>[]) =>
    list.map(({ oid, version }) => `${oid} ${version}`).sort();
  const partitions = (list: readonly Pick<PartitionState, 'oid' | 'file'>[]) =>
    list.map(({ oid, file }) => `${oid} ${file}`).sort();
  return (
    recorded.place !== state.place ||
    recorded.functionHash !== state.functionHash ||
    recorded.deltaOid !== state.delta?.oid ||
    triggers(recorded.triggers).join() !== triggers(state.triggers).join() ||
    partitions(recorded.partitions).join() !== partitions(state.partitions).join()
  );
}

/**
 * Partitions that came since the last look and may have brought rows with them. One that was created as a partition is empty at first;
 * from its catalog rows alone the two cannot be told apart.
 */
export function arrivedPartitions(state: CaptureState): readonly PartitionState[] {
  const recorded = comparable(state);
  if (recorded === undefined || state.oid === undefined) return [];
  return state.partitions.filter(
    ({ oid, kind }) => kind === 'r' && !recorded.partitions.some((known) => known.oid === oid),
  );
}

function comparable({ recorded, place }: CaptureState): CaptureState['recorded'] {
  return recorded?.place === place ? recorded : undefined;
}

function lossesNow(state: CaptureState): readonly string[] {
  const { delta, functionHash, triggers, oid } = state;
  if (delta === undefined) return ['its delta table is gone'];
  if (functionHash === undefined) return ['its capture function is gone'];
  const own = triggers.filter(({ on }) => on === oid);
  const disabled = triggers.filter((trigger) => !fires(trigger) && isHere(state, trigger));
  const unseen = EVENTS.filter(([bit]) => !own.some((trigger) => (trigger.events & bit) !== 0)).map(
    ([, name]) => name,
  );
  const partial = state.partitions.filter(
    ({ kind, oid: partition }) => kind === 'r' && missesRows(state, partition),
  );
  return [
    ...disabled.map(({ name }) => `trigger ${name} is disabled`),
    ...(unseen.length === 0 ? [] : [`no trigger sees ${unseen.join(', ')}`]),
    ...partial.map(({ schema, table }) => `partition ${schema}.${table} has no trigger that sees its rows`),
    ...(state.subscribed &&
    triggers.some((trigger) => seesRows(trigger) && trigger.enabled === 'O' && isHere(state, trigger))
      ? ['a subscription writes it, and its triggers do not fire for subscriptions']
      : []),
    ...(state.capture === 'statement' && (state.subscribed || state.hasParent)
      ? [
          'its rows are also written through another table or a subscription, which triggers for statements do not see',
        ]
      : []),
  ];
}

function lossesSince(state: CaptureState): readonly string[] {
  const recorded = comparable(state);
  if (recorded === undefined) return [];
  const { delta, functionHash, triggers, partitions } = state;
  const changed = recorded.triggers
    .filter((known) => isHere(state, known))
    .filter(({ oid, version }) => !triggers.some((now) => now.oid === oid && now.version === version));
  const leaves = recorded.partitions.filter(({ kind }) => kind === 'r');
  const gone = leaves.filter(({ oid }) => !partitions.some((now) => now.oid === oid));
  return [
    ...changed.map(({ name }) => `trigger ${name} was dropped, replaced, renamed or switched off and on`),
    ...(functionHash !== undefined && functionHash !== recorded.functionHash
      ? ['its capture function was replaced']
      : []),
    ...(delta !== undefined && delta.oid !== recorded.deltaOid ? ['its delta table was replaced'] : []),
    ...(delta !== undefined && delta.oid === recorded.deltaOid && !isGuarded(delta)
      ? ['its delta table may have been emptied']
      : []),
    ...gone.map(({ name }) => `partition ${name} was detached or dropped, and its rows with it`),
    ...partitions
      .filter((partition) => mayBeTruncated(state, partition))
      .map(
        ({ schema, table }) =>
          `partition ${schema}.${table} may have been truncated before it had a trigger for that`,
      ),
  ];
}

/** A partition gets its trigger for TRUNCATE from the next `apply`. Until then its file tells: each TRUNCATE gives it a new one. */
function mayBeTruncated(state: CaptureState, { oid, kind, file }: PartitionState): boolean {
  if (kind !== 'r') return false;
  if (state.triggers.some(({ on, events }) => on === oid && (events & TRUNCATE) !== 0)) return false;
  const before = comparable(state)?.partitions.find((known) => known.oid === oid)?.file ?? oid;
  return file !== before;
}

function missesRows({ triggers }: CaptureState, partition: number): boolean {
  const own = triggers.filter(({ on }) => on === partition);
  return EVENTS.some(([bit]) => bit !== TRUNCATE && !own.some(({ events }) => (events & bit) !== 0));
}

function fires({ enabled }: TriggerState): boolean {
  return enabled === 'O' || enabled === 'A';
}

function seesRows({ events }: TriggerState): boolean {
  return (events & ~TRUNCATE) !== 0;
}

/** A partition that left took its triggers with it, or keeps them and is none of ours. */
function isHere({ oid, partitions }: CaptureState, { on }: { readonly on: number }): boolean {
  return on === oid || partitions.some((partition) => partition.oid === on);
}
