/**
 * What the next batch of a lane is: some transactions that are pending, or a part of one that is too large for a batch. Read
 * in the batch's own snapshot.
 */
import type { Connection } from '../postgres/connection.ts';
import type { Snapshot, Txid } from '../postgres/snapshot.ts';
import type { Boundary } from './key-range.ts';
import { type LaneState, reachOf, type RelationState } from './lane-state.ts';
import { readPlaces } from './large-record.ts';
import { hasShare, isCurrent, type LargeTransaction, type Way } from './large-transaction.ts';
import type { Pace } from './pace.ts';
import { countPending } from './pending.ts';

/** What a batch brings of one relation. */
export interface Share {
  readonly relation: RelationState;
  readonly mark: Snapshot;
  readonly upTo: Boundary | undefined;
  readonly deltas: number;
  readonly part?: { readonly condition: string; readonly way: Way } | undefined;
}

interface Scope {
  /** The relations that advance with the batch. */
  readonly attempted: readonly RelationState[];
  readonly shares: readonly Share[];
  /** The last transaction of the batch; undefined if nothing is left over. */
  readonly cut: Txid | undefined;
}

export type BatchScope =
  /** `deltas` counts truncations too, and keys that a copy brings. */
  | (Scope & { readonly kind: 'transactions'; readonly deltas: number })
  /** The shares are all that the transaction has, of which the batch brings a part. */
  | (Scope & { readonly kind: 'part'; readonly large: LargeTransaction })
  /** A transaction is to be delivered in parts from now on. */
  | { readonly kind: 'begin'; readonly large: Omit<LargeTransaction, 'version'> }
  /** The next transaction is too large for the time that is left, and worth waiting for. */
  | { readonly kind: 'later' };

/** @param attempted relations that are neither held nor have failed */
export async function readScope(
  source: Connection,
  state: LaneState,
  attempted: readonly RelationState[],
  pace: Pace,
): Promise<BatchScope> {
  const { large, history } = state;
  if (large !== undefined && isCurrent(large, state)) return partOf(large, state, attempted);

  const ranges = attempted.map(({ deltaName, hold }) => ({ deltaName, mark: hold?.mark ?? state.mark }));
  const truncations = { deltaName: 'truncation', mark: state.mark };
  const bound = pace.batchDeltas(history);
  const counts = await countPending(source, [...ranges, truncations], { bound, laneMark: state.mark });
  const deltas = counts.deltas.reduce((sum, count) => sum + count, 0);
  if (counts.oversized && counts.cut !== undefined) {
    const plan = pace.oversized(deltas, history);
    if (plan === 'whole, later') return { kind: 'later' };
    if (plan === 'in parts') {
      const places = await readPlaces(source, counts.cut, ranges);
      return {
        kind: 'begin',
        large: { txid: counts.cut, fromMark: state.storedMark, end: state.end, places },
      };
    }
  }
  const shares = sharesOf(attempted, state, (_, position) => counts.deltas[position] ?? 0);
  return { kind: 'transactions', attempted, shares, cut: counts.cut, deltas };
}

function partOf(
  large: LargeTransaction,
  state: LaneState,
  relations: readonly RelationState[],
): Extract<BatchScope, { kind: 'part' }> {
  const attempted = relations.filter(({ deltaName }) => large.places[deltaName] !== undefined);
  const shares = sharesOf(attempted, state, (relation) =>
    hasShare(large, relation, relation.hold?.mark ?? state.mark)
      ? (large.places[relation.deltaName]?.deltas ?? 0)
      : 0,
  );
  return { kind: 'part', large, attempted, shares, cut: large.txid };
}

function sharesOf(
  attempted: readonly RelationState[],
  state: LaneState,
  deltasOf: (relation: RelationState, position: number) => number,
): readonly Share[] {
  return attempted.flatMap((relation, position) => {
    const deltas = deltasOf(relation, position);
    const reach = reachOf(relation.copy);
    if (deltas === 0 || reach.kind === 'none') return [];
    const upTo = reach.kind === 'up to' ? reach.boundary : undefined;
    return [{ relation, mark: relation.hold?.mark ?? state.mark, upTo, deltas }];
  });
}
