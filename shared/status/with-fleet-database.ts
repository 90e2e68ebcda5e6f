/** A connection to a database of the fleet, for programs that look now and then and keep none. */
import { freshUrl, resolveUrl } from '../config/secrets.ts';
import type { Fleet } from '../config/types.ts';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import { type Connection, withConnection } from '../postgres/connection.ts';
import type { WithDatabase } from './read-fleet-status.ts';

/** @param purpose shown in pg_stat_activity */
export function withFleetDatabase(fleet: Fleet, purpose: string): WithDatabase {
  return async <Result>(name: string, body: (connection: Connection) => Promise<Result>): Promise<Result> => {
    const database = fleet.databases.get(name);
    if (database === undefined) {
      throw new BucardoError('BUC-LANE-UNKNOWN', {
        database: name,
        detail: `the configuration has: ${[...fleet.databases.keys()].join(', ')}`,
      });
    }
    const attempt = async (url: string): Promise<Result> =>
      await withConnection({ database: name, url, purpose }, body);
    try {
      return await attempt(await resolveUrl(database));
    } catch (error) {
      if (asBucardoError(error).code !== 'BUC-DB-AUTH') throw error;
      // The password may have been rotated since it was read. A login is refused before anything is done.
      return await attempt(await freshUrl(database));
    }
  };
}
