/** What a lane's run is given and what it reports. */
import type { Database, Fleet } from '../config/types.ts';
import type { Log } from '../telemetry/log.ts';
import type { ConnectionCache } from './connection-cache.ts';

export interface LaneRunContext {
  readonly fleet: Fleet;
  /** Resolves a database's reference to its connection URL. Called for every new connection. */
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly log: Log;
  /** Milliseconds since 1970 at which the run must have ended; no new batch or chunk starts that may not fit. */
  readonly deadlineMs: number;
  /** Warm connections, kept between runs of one process. */
  readonly connections: ConnectionCache;
}

export interface LaneRunOutcome {
  /** Rows written to or deleted at the destination, copies included. */
  readonly rows: number;
  /** Destination transactions committed. */
  readonly batches: number;
  /** Whether the lane had more to do when the time was up: kick it again. */
  readonly more: boolean;
}
