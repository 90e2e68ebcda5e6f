/** A command's connection to a database of the configuration. */
import type { Fleet } from '../shared/config/types.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import { withFleetDatabase } from '../shared/status/with-fleet-database.ts';

/** @param name of a database in the configuration */
export async function withDatabase<Result>(
  fleet: Fleet,
  name: string,
  body: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  return await withFleetDatabase(fleet, 'command')(name, body);
}
