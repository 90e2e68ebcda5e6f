/** The lanes that a fleet has: one per sync and target, in the order of the file. */
import { BucardoError } from '../errors/bucardo-error.ts';
import type { Fleet, Lane, Sync } from './types.ts';

export function lanesOf(fleet: Fleet): readonly Lane[] {
  return [...fleet.syncs.values()].flatMap(lanesOfSync);
}

export function lanesOfSync(sync: Sync): readonly Lane[] {
  return sync.targets.map((destination) => ({
    id: `${sync.name}/${destination}`,
    sync: sync.name,
    source: sync.source,
    destination,
  }));
}

/** Names of the databases that some sync reads from. */
export function sourcesOf(fleet: Fleet): readonly string[] {
  return [...new Set([...fleet.syncs.values()].map((sync) => sync.source))];
}

/** @throws BUC-LANE-UNKNOWN */
export function findSync(fleet: Fleet, name: string): Sync {
  const sync = fleet.syncs.get(name);
  if (sync === undefined) {
    throw new BucardoError('BUC-LANE-UNKNOWN', {
      sync: name,
      detail: `the configuration has: ${[...fleet.syncs.keys()].join(', ')}`,
    });
  }
  return sync;
}

/** @throws BUC-LANE-UNKNOWN */
export function findLane(fleet: Fleet, laneId: string): Lane {
  const lane = lanesOf(fleet).find(({ id }) => id === laneId);
  if (lane === undefined) {
    throw new BucardoError('BUC-LANE-UNKNOWN', {
      detail: `${laneId}; the configuration has: ${lanesOf(fleet)
        .map(({ id }) => id)
        .join(', ')}`,
    });
  }
  return lane;
}

/** The lanes of a sync, or its one to a target. @throws BUC-LANE-UNKNOWN */
export function pickLanes(fleet: Fleet, sync: string, target: string | undefined): readonly Lane[] {
  const lanes = lanesOfSync(findSync(fleet, sync));
  return target === undefined ? lanes : [findLane(fleet, `${sync}/${target}`)];
}
