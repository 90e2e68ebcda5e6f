/** The lanes that a command's arguments name: all of a sync, or the one to a target. */
import { findLane, findSync, lanesOfSync } from '../shared/config/lanes.ts';
import type { Fleet, Lane } from '../shared/config/types.ts';

/** @throws BUC-LANE-UNKNOWN */
export function pickLanes(fleet: Fleet, sync: string, target: string | undefined): readonly Lane[] {
  const lanes = lanesOfSync(findSync(fleet, sync));
  return target === undefined ? lanes : [findLane(fleet, `${sync}/${target}`)];
}
