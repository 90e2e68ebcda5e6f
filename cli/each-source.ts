/** A command's work on every source of the configuration, one after the other, so that its output reads in order. */
import { sourcesOf } from '../shared/config/lanes.ts';
import type { Fleet } from '../shared/config/types.ts';
import type { SourceRequest } from '../shared/capture/plan-source.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import { withDatabase } from './with-database.ts';

export async function eachSource<Result>(
  fleet: Fleet,
  body: (source: Connection, request: SourceRequest) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const name of sourcesOf(fleet)) {
    const database = fleet.databases.get(name);
    if (database === undefined) continue;
    const request = { database, syncs: [...fleet.syncs.values()] };
    results.push(await withDatabase(fleet, name, (source) => body(source, request)));
  }
  return results;
}
