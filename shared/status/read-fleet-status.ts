/** The status of a whole fleet: every lane of the configuration, as its source sees it. */
import { lanesOf, sourcesOf } from '../config/lanes.ts';
import type { Fleet } from '../config/types.ts';
import type { WithDatabase } from '../config/with-fleet-database.ts';
import { asBucardoError } from '../errors/bucardo-error.ts';
import { type LaneStatus, readStatus } from './read-status.ts';

/** A lane that nothing is known of: its source cannot be asked, or does not know it. */
export interface UnknownLane {
  readonly lane: string;
  readonly problem: string;
}

export interface FleetStatus {
  readonly lanes: readonly LaneStatus[];
  readonly unknown: readonly UnknownLane[];
}

/** Never rejects: a source that does not answer hides only its own lanes. */
export async function readFleetStatus(fleet: Fleet, withDatabase: WithDatabase): Promise<FleetStatus> {
  const lanes: LaneStatus[] = [];
  const unknown: UnknownLane[] = [];
  await Promise.all(
    sourcesOf(fleet).map(async (source) => {
      const ours = lanesOf(fleet).filter((lane) => lane.source === source);
      const syncs = [...fleet.syncs.values()].filter((sync) => sync.source === source);
      try {
        const known = await withDatabase(source, (db) => readStatus(db, syncs));
        lanes.push(...known);
        const names = new Set(known.map(({ lane }) => lane));
        const missing = ours.filter(({ id }) => !names.has(id));
        unknown.push(
          ...missing.map(({ id }) => ({ lane: id, problem: 'not prepared at the source: bucardo apply' })),
        );
      } catch (error) {
        const { message, remedy } = asBucardoError(error);
        unknown.push(...ours.map(({ id }) => ({ lane: id, problem: `${message}. ${remedy}` })));
      }
    }),
  );
  const order = lanesOf(fleet).map(({ id }) => id);
  return { lanes: lanes.toSorted((a, b) => order.indexOf(a.lane) - order.indexOf(b.lane)), unknown };
}
