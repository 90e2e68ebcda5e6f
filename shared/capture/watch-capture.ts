/**
 * Looks whether changes of captured tables may have been missed, and asks for a copy of these tables. The sweep does so each minute, so
 * that what was switched off and on again between two runs of `apply` is told as well.
 */
import type { Connection } from '../postgres/connection.ts';
import { displayRelation, quoteLiteral, type RelationName } from '../postgres/identifiers.ts';
import type { Log } from '../telemetry/log.ts';
import { broughtRows } from './arrived-rows.ts';
import { tryCaptureLock } from './capture-lock.ts';
import { type CaptureState, readCaptureStates, recordSeen } from './capture-state.ts';
import { arrivedPartitions, findLosses, hasChanged } from './find-losses.ts';

/** Rows that came with a partition are usually its first ones; only a partition without any is read to its end. */
const PATIENCE_MS = 15_000;

export interface CaptureLook {
  readonly state: CaptureState;
  /** Why changes may have been missed, each a clause. */
  readonly losses: readonly string[];
}

/** One look at all registered relations, in one snapshot; then at the rows of partitions that are new. Changes nothing. */
export async function lookAtCapture(
  db: Connection,
  patienceMs = PATIENCE_MS,
): Promise<readonly CaptureLook[]> {
  const states = await db.transaction('repeatable read read only', () => readCaptureStates(db));
  const looks: CaptureLook[] = [];
  for (const state of states) {
    const losses = [...findLosses(state)];
    for (const partition of arrivedPartitions(state)) {
      if (await broughtRows(db, state, partition, patienceMs))
        losses.push(`partition ${displayRelation(partition)} was attached with rows that no trigger saw`);
    }
    looks.push({ state, losses });
  }
  return looks;
}

/** Every lane that has the relation is told; a reason that is told already stays. */
export function needCopySql({ schema, table }: RelationName): string {
  return `
insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
select p.sync, p.destination, s.schema_name, s.table_name, 'uncaptured'
from bucardo.progress p join bucardo.sync_relation s using (sync)
where s.schema_name = ${quoteLiteral(schema)} and s.table_name = ${quoteLiteral(table)}
on conflict do nothing`;
}

/**
 * Does nothing beside an `apply`, which looks itself, and at a source that is not applied by this version yet. What it asks for and
 * what it records are one transaction per relation: killed between two relations it finds the rest the next time.
 *
 * @returns how many relations may lack changes
 */
export async function watchCapture(db: Connection, log: Log): Promise<number> {
  const { there } = await db.row<{ there: boolean }>(
    `select to_regclass('bucardo.capture_state') is not null as there`,
  );
  if (!there) return 0;
  const found = await tryCaptureLock(db, async () => {
    let missed = 0;
    for (const { state, losses } of await lookAtCapture(db)) {
      if (losses.length > 0) {
        missed += 1;
        log('warn', 'capture.missed', {
          database: db.database,
          relation: displayRelation(state),
          detail: losses.join('; '),
        });
      }
      if (losses.length === 0 && !hasChanged(state)) continue;
      await db.transaction('read committed', async () => {
        if (losses.length > 0) await db.script(needCopySql(state));
        await recordSeen(db, state);
      });
    }
    return missed;
  });
  return found ?? 0;
}
