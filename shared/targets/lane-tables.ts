/**
 * The table of lanes' rows at a fleet's targets: made by `apply`, taken away by `uninstall`. Without it lanes work as well, so
 * a target that cannot be reached, or whose role may not create it, keeps nothing else from being done.
 */
import { lanesOf } from '../config/lanes.ts';
import type { Fleet } from '../config/types.ts';
import type { WithDatabase } from '../config/with-fleet-database.ts';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import { createLaneTable, removeLaneRows } from './postgres/lane-table.ts';

export interface TargetOutcome {
  readonly target: string;
  /** What was done: made or taken away. Else there was nothing to do, or it failed. */
  readonly done: boolean;
  readonly problem?: BucardoError;
}

/** What is lost without the table, in one sentence. */
export const WITHOUT_LANE_TABLE =
  'lanes work without it, but a target that is restored from a backup is not noticed then, a source that fails over needs copies, and a late run is kept away by its lock alone';

function targetsOf(fleet: Fleet): readonly string[] {
  return [...new Set(lanesOf(fleet).map(({ destination }) => destination))];
}

async function eachTarget(
  fleet: Fleet,
  act: (target: string) => Promise<boolean>,
): Promise<readonly TargetOutcome[]> {
  const outcomes: TargetOutcome[] = [];
  for (const target of targetsOf(fleet)) {
    try {
      outcomes.push({ target, done: await act(target) });
    } catch (error) {
      outcomes.push({ target, done: false, problem: asBucardoError(error).with({ database: target }) });
    }
  }
  return outcomes;
}

/** Never throws what a target did. */
export async function prepareTargets(
  fleet: Fleet,
  withDatabase: WithDatabase,
): Promise<readonly TargetOutcome[]> {
  return await eachTarget(fleet, (target) => withDatabase(target, createLaneTable));
}

/**
 * Rows of other fleets' lanes stay, and the table with them.
 *
 * @param places of the fleet's sources, @see SourceIdentity
 */
export async function clearTargets(
  fleet: Fleet,
  withDatabase: WithDatabase,
  places: readonly string[],
): Promise<readonly TargetOutcome[]> {
  return await eachTarget(fleet, async (target) => {
    const lanes = lanesOf(fleet).filter(({ destination }) => destination === target);
    return await withDatabase(target, (db) =>
      removeLaneRows(
        db,
        lanes.map(({ id }) => id),
        places,
      ),
    );
  });
}
