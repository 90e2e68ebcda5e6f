/** A connection to a database of the fleet, for programs that look now and then and keep none. */
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import { type Connection, withConnection } from '../postgres/connection.ts';
import { freshUrl, resolveUrl } from './secrets.ts';
import type { Database, Fleet } from './types.ts';

/** Connects to a database of the fleet for the time of `body`. */
export type WithDatabase = <Result>(
  name: string,
  body: (connection: Connection) => Promise<Result>,
) => Promise<Result>;

type ResolveUrl = (database: Database) => Promise<string>;

/**
 * @param purpose shown in pg_stat_activity
 * @param kept the URL as it is known, @param fresh as it is after a login was refused
 */
export function withFleetDatabase(
  fleet: Fleet,
  purpose: string,
  kept: ResolveUrl = resolveUrl,
  fresh: ResolveUrl = freshUrl,
): WithDatabase {
  return async (name, body) => {
    const database = fleet.databases.get(name);
    if (database === undefined) {
      throw new BucardoError('BUC-LANE-UNKNOWN', {
        database: name,
        detail: `the configuration has: ${[...fleet.databases.keys()].join(', ')}`,
      });
    }
    const attempt = async (url: string) => await withConnection({ database: name, url, purpose }, body);
    try {
      return await attempt(await kept(database));
    } catch (error) {
      if (asBucardoError(error).code !== 'BUC-DB-AUTH') throw error;
      // The password may have been rotated since it was read. A login is refused before anything is done.
      return await attempt(await fresh(database));
    }
  };
}
