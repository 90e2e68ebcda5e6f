/**
 * Transaction snapshots (`txid_snapshot`) as positions. A snapshot says which transactions it covers: all below `xmax`
 * but those listed in `running`. Progress marks are snapshots, so late commits and gaps need no luck.
 */

/** 64-bit transaction ids with epoch, as `txid_current()` gives them. */
export type Txid = bigint;

export interface Snapshot {
  /** The first id not yet given out; nothing at or above it is covered. */
  readonly xmax: Txid;
  /** Ids below `xmax` that are not covered, ascending. */
  readonly running: readonly Txid[];
}

/** Covers nothing: everything that was ever captured is pending. */
export const NOTHING: Snapshot = { xmax: 1n, running: [] };

/** Reads Postgres's text form `xmin:xmax:xip,xip`. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
  if (match === null) throw new TypeError(`not a transaction snapshot: ${text}`);
  const [, , xmax = '', running = ''] = match;
  return {
    xmax: BigInt(xmax),
    running: running === '' ? [] : running.split(',').map(BigInt),
  };
}

/** Postgres's text form, which `txid_snapshot` reads back. */
export function formatSnapshot({ xmax, running }: Snapshot): string {
  return `${running[0] ?? xmax}:${xmax}:${running.join(',')}`;
}

export function covers(snapshot: Snapshot, txid: Txid): boolean {
  return txid < snapshot.xmax && !snapshot.running.includes(txid);
}

/**
 * The mark after a batch that held every delta visible in `end`, not covered by `from`, with an id up to `cut`:
 * everything up to `cut` but what was running at `end`, plus what `from` already covered.
 *
 * @param from what was covered before; must be older than `end`, from the same cluster
 * @param end the snapshot in which the batch was read
 * @param cut the last transaction of the batch; undefined if nothing was left over
 */
export function advance(from: Snapshot, end: Snapshot, cut: Txid | undefined): Snapshot {
  if (cut === undefined) return end;
  const xmax = cut + 1n > from.xmax ? cut + 1n : from.xmax;
  const running = new Set([
    ...end.running.filter((txid) => txid < xmax),
    // Late commits beyond the cut: covered by neither the old mark nor this batch.
    ...from.running.filter((txid) => txid > cut),
  ]);
  return { xmax, running: [...running].sort((a, b) => (a < b ? -1 : 1)) };
}

/**
 * A condition on `txid` that holds for what the snapshot does not cover. Two index ranges, never a scan from the
 * oldest running transaction: with one transaction open for hours the scan would grow with everything since.
 */
export function notCovered(column: string, { xmax, running }: Snapshot): string {
  const beyond = `${column} >= ${xmax}`;
  return running.length === 0 ? beyond : `(${beyond} or ${column} in (${running.join(', ')}))`;
}

/** Covers what all of the marks cover. */
export function intersect(marks: readonly [Snapshot, ...Snapshot[]]): Snapshot {
  const xmax = marks.map((mark) => mark.xmax).reduce((least, next) => (next < least ? next : least));
  const running = new Set(marks.flatMap((mark) => mark.running.filter((txid) => txid < xmax)));
  return { xmax, running: [...running].sort((a, b) => (a < b ? -1 : 1)) };
}
