/**
 * What it means when a source and a destination remember different things of their lane. Pure.
 *
 * Order of a run: its number is committed at the destination and at the source; then, for every transaction that writes rows, the
 * source's snapshot is taken, the transaction counts itself in the destination's row, and the source records that count. So
 *
 * - the destination never has a number or a count that the source does not know of, but for one count, of a run that died before
 *   it recorded it. Else the source has lost what it once knew: it went back in time, and the destination may have rows of
 *   transactions that never happened there.
 * - the source never knows of a count that the destination does not have. Else the destination went back.
 *
 * If the counts agree, the source has recorded the last transaction after everything that it brought: nothing of it can be lost, whatever
 * happened to the source since. Only a count that is not recorded leaves it open whether a source on another timeline still has what was
 * brought, and so does a destination without a row.
 */
import { parseSnapshot, type Txid } from '../postgres/snapshot.ts';
import type { LaneRow } from '../targets/target.ts';

/** What the source has recorded of a lane, as it was before the run that begins. */
export interface SourceMemory {
  readonly run: bigint;
  /** Undefined if there was no row at the destination yet. */
  readonly writes: bigint | undefined;
  /** Of the source, when it was compared last; undefined if it is not known. */
  readonly timeline: number | undefined;
}

/** The source as it is now. */
export interface SourceNow {
  readonly timeline: number | undefined;
  /** No transaction has an id from here on. */
  readonly xmax: Txid;
}

export interface Comparison {
  /** The source may have lost changes that the destination has. */
  readonly sourceWentBack: boolean;
  /** The destination lacks what the source has recorded: it has what its row says, or nothing is known. */
  readonly destinationWentBack: boolean;
  /** There was no row when the lane ran before, so nothing can be compared yet. */
  readonly first: boolean;
}

export function compareReceipt(
  memory: SourceMemory,
  now: SourceNow,
  row: LaneRow | 'absent' | 'forbidden',
): Comparison {
  const otherTimeline =
    memory.timeline !== undefined && now.timeline !== undefined && memory.timeline !== now.timeline;
  if (row === 'forbidden') return { sourceWentBack: otherTimeline, destinationWentBack: false, first: false };
  const { writes } = memory;
  if (writes === undefined) {
    return { sourceWentBack: otherTimeline, destinationWentBack: false, first: row !== 'absent' };
  }
  if (row === 'absent') return { sourceWentBack: otherTimeline, destinationWentBack: true, first: false };
  const ofTheFuture = row.mark !== null && parseSnapshot(row.mark).xmax > now.xmax;
  return {
    sourceWentBack:
      row.writeRun > memory.run ||
      ofTheFuture ||
      row.writes > writes + 1n ||
      (otherTimeline && row.writes !== writes),
    destinationWentBack: row.writes < writes,
    first: false,
  };
}
