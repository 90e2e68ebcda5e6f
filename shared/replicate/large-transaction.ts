/**
 * A transaction of the source that is too large for one transaction of the target, delivered in parts. Pure.
 *
 * What is to be delivered is fixed when the delivery begins: the deltas of this one transaction, the first that was pending in
 * any of the lane's tables. Its parts are ranges of its delta tables as they lie on disk: no delta is ever moved, so each
 * is in exactly one part, and reading them all takes time in proportion to their number. (In the order of keys each
 * part would sort, or search, what is left of them.)
 *
 * A part writes the rows as they are when it is read, so repeating one, or reading a row that was changed again meanwhile, does
 * no harm: a later change is pending by itself. While the delivery goes on the lane's mark stays; at its end the
 * mark advances by that one transaction. Whatever committed meanwhile, with a lower or a higher id, is not covered by the
 * snapshot of the beginning, and is still pending then.
 *
 * Where the target checks foreign keys the rows that are there are brought first, parents before children, and those that
 * are gone are deleted last, children before parents.
 */
import { covers, formatSnapshot, type Snapshot, type Txid } from '../postgres/snapshot.ts';

/** Which keys of a relation a step brings: those with a row, those without, or both at once. */
export type Way = 'present' | 'gone' | 'all';

/** Where a relation's deltas of the transaction lie, and how far they have been brought. */
export interface Place {
  /** The relation's mark when the delivery began. */
  readonly from: string;
  /** The delta table's file: another one has its rows elsewhere. */
  readonly file: string;
  readonly firstPage: number;
  readonly lastPage: number;
  /** The greatest number of rows that a page can have. */
  readonly pageRows: number;
  readonly deltas: number;
  /** The position of the next delta, as far as any have been brought. */
  readonly done: Readonly<Partial<Record<Way, number>>>;
}

export interface LargeTransaction {
  readonly txid: Txid;
  /** The lane's stored mark when the delivery began. */
  readonly fromMark: string | null;
  /** The snapshot of the source in which it began. */
  readonly end: Snapshot;
  /** By delta table: every relation that took part in the look that found the transaction. */
  readonly places: Readonly<Record<string, Place>>;
  /** Of its record, for compare-and-set. */
  readonly version: string;
}

/** Some deltas of one relation, from a position up to, but not including, another. */
export interface Part {
  readonly deltaName: string;
  readonly way: Way;
  readonly from: number;
  readonly to: number;
  /** About so many. */
  readonly deltas: number;
}

/** Positions are pages times this plus a line of the page; no page of 32 kB has so many lines. */
const LINES = 2048;

interface Participant {
  readonly deltaName: string;
  readonly hold: { readonly mark: Snapshot } | undefined;
}

/**
 * Whether the delivery may go on: every relation that would advance with it stands where it stood. Otherwise it begins
 * anew, which repeats what was done.
 */
export function isCurrent(
  large: LargeTransaction,
  lane: {
    readonly storedMark: string | null;
    readonly mark: Snapshot;
    readonly relations: readonly Participant[];
  },
): boolean {
  return (
    large.fromMark === lane.storedMark &&
    lane.relations.every(({ deltaName, hold }) => {
      const place = large.places[deltaName];
      // A held relation that did not take part keeps its own mark.
      if (place === undefined) return hold !== undefined;
      return place.from === formatSnapshot(hold?.mark ?? lane.mark);
    })
  );
}

/** Whether the relation has deltas of the transaction to be brought. */
export function hasShare(
  { txid, places }: LargeTransaction,
  { deltaName }: Participant,
  mark: Snapshot,
): boolean {
  return (places[deltaName]?.deltas ?? 0) > 0 && !covers(mark, txid);
}

/** The steps of a delivery in their order. @param deltaNames parents first */
export function stepsOf(
  deltaNames: readonly string[],
  checksForeignKeys: boolean,
): readonly Pick<Part, 'deltaName' | 'way'>[] {
  const steps = (names: readonly string[], way: Way) => names.map((deltaName) => ({ deltaName, way }));
  if (!checksForeignKeys) return steps(deltaNames, 'all');
  return [...steps(deltaNames, 'present'), ...steps(deltaNames.toReversed(), 'gone')];
}

/**
 * The next part, of about so many deltas; undefined if all are through. Whole pages, or lines of one page if a page has
 * more than that.
 */
export function nextPart(
  { places }: LargeTransaction,
  steps: readonly Pick<Part, 'deltaName' | 'way'>[],
  deltas: number,
): Part | undefined {
  for (const { deltaName, way } of steps) {
    const place = places[deltaName];
    if (place === undefined || place.deltas === 0) continue;
    const from = place.done[way] ?? place.firstPage * LINES;
    const end = (place.lastPage + 1) * LINES;
    if (from >= end) continue;
    const perPage = Math.max(1, place.deltas / (place.lastPage - place.firstPage + 1));
    const page = Math.floor(from / LINES);
    const line = from % LINES;
    if (deltas >= perPage) {
      const pages = Math.floor(deltas / perPage);
      const to = Math.min((page + pages) * LINES, end);
      return { deltaName, way, from, to, deltas: Math.ceil(((to - from) / LINES) * perPage) };
    }
    const last = line + deltas > place.pageRows;
    return { deltaName, way, from, to: last ? (page + 1) * LINES : from + deltas, deltas };
  }
  return undefined;
}

/** The place after a part. */
export function placeAfter(place: Place, { way, to }: Part): Place {
  return { ...place, done: { ...place.done, [way]: to } };
}

/** Since version 14 a range of positions is read without the pages before it; earlier each position must be named. */
const TID_RANGES_SINCE = 140000;

/**
 * A condition on a delta table. The transaction's id is hidden from its index, which would be read from its beginning for
 * every part.
 */
export function partCondition(
  { from, to }: Part,
  { txid, pageRows }: { readonly txid: Txid; readonly pageRows: number },
  serverVersion: number,
): string {
  const range = `ctid >= '${tid(from)}'::tid and ctid < '${tid(to)}'::tid and txid + 0 = ${txid}`;
  if (serverVersion >= TID_RANGES_SINCE) return range;
  const lastPage = Math.floor((to - 1) / LINES);
  return `ctid = any(array(
      select format('(%s,%s)', page, line)::tid
      from generate_series(${Math.floor(from / LINES)}, ${lastPage}) page, generate_series(1, ${pageRows}) line
    )) and ${range}`;
}

function tid(position: number): string {
  return `(${Math.floor(position / LINES)},${position % LINES})`;
}
