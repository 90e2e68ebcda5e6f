/** A command's connection to a database of the configuration. */
import { resolveUrl } from '../shared/config/secrets.ts';
import type { Fleet } from '../shared/config/types.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { type Connection, withConnection } from '../shared/postgres/connection.ts';

/** @param name of a database in the configuration */
export async function withDatabase<Result>(
  fleet: Fleet,
  name: string,
  body: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  const database = fleet.databases.get(name);
  if (database === undefined) {
    throw new BucardoError('BUC-LANE-UNKNOWN', {
      database: name,
      detail: `the configuration has: ${[...fleet.databases.keys()].join(', ')}`,
    });
  }
  return await withConnection({ database: name, url: await resolveUrl(database), purpose: 'command' }, body);
}
