/** Work on every source of the configuration, one after the other, so that what is told of it reads in order. */
import { sourcesOf } from '../config/lanes.ts';
import type { Fleet } from '../config/types.ts';
import type { WithDatabase } from '../config/with-fleet-database.ts';
import type { Connection } from '../postgres/connection.ts';
import type { SourceRequest } from './plan-source.ts';

export async function eachSource<Result>(
  fleet: Fleet,
  withDatabase: WithDatabase,
  body: (source: Connection, request: SourceRequest) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const name of sourcesOf(fleet)) {
    const database = fleet.databases.get(name);
    if (database === undefined) continue;
    const request = { database, syncs: [...fleet.syncs.values()] };
    results.push(await withDatabase(name, (source) => body(source, request)));
  }
  return results;
}
