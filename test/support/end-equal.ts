/** How tests of whole fleets end: every lane has everything, and all databases hold the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { findSync, lanesOf } from '../../shared/config/lanes.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { readGoal, waitForLane } from '../../shared/status/wait-for-lane.ts';

type UrlOf = (database: string) => string;

const LOOK_EVERY_MS = 50;

/** Until every lane has all that is committed now. Failures that heal meanwhile do not count. */
export async function settleLanes(fleet: Fleet, urlOf: UrlOf, timeoutSeconds: number): Promise<void> {
  const deadlineMs = Date.now() + timeoutSeconds * 1000;
  for (const lane of lanesOf(fleet)) {
    const connection = { database: lane.source, url: urlOf(lane.source), purpose: 'test comparison' };
    await withConnection(connection, async (source) => {
      const goal = await readGoal(source);
      for (;;) {
        try {
          await waitForLane(source, {
            lane,
            sync: findSync(fleet, lane.sync),
            goal,
            asked: false,
            timeoutSeconds: (deadlineMs - Date.now()) / 1000,
          });
          return;
        } catch (error) {
          if (Date.now() >= deadlineMs) throw error;
          await sleep(LOOK_EVERY_MS);
        }
      }
    });
  }
}

export interface Comparison {
  readonly source: string;
  readonly targets: readonly string[];
  readonly urlOf: UrlOf;
  /** Names in schema public. */
  readonly tables: readonly string[];
}

/** Every row of the tables is the same everywhere, compared in SQL. */
export async function expectEqualDatabases(
  { source, targets, urlOf, tables }: Comparison,
  message = '',
): Promise<void> {
  const wanted = await sums(source, urlOf(source), tables);
  for (const target of targets) {
    expect(await sums(target, urlOf(target), tables), `${target} ${message}`).toEqual(wanted);
  }
}

async function sums(
  database: string,
  url: string,
  tables: readonly string[],
): Promise<Readonly<Record<string, unknown>>> {
  return await withConnection({ database, url, purpose: 'test comparison' }, async (db) => {
    const all: Record<string, unknown> = {};
    for (const table of tables) {
      // Order-free: the sum and the number of the rows' hashes.
      all[table] = await db.row(
        `select count(*) as rows, coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint::numeric), 0) as sum
         from public.${table} t`,
      );
    }
    return all;
  });
}
