/**
 * How many lanes may run at the same time so that no database gets more connections than its `maxConnections`. Pure. Holds
 * because a process that runs lanes one after the other keeps no more than CONNECTIONS_PER_RUN to any database.
 */
import { lanesOf, sourcesOf } from './lanes.ts';
import type { Database, Fleet } from './types.ts';

/** A large batch reads ahead in a second session at its source. Idle ones of other lanes make way first. */
export const CONNECTIONS_PER_RUN = 2;

/** Two notifiers overlap while one is replaced, a session each; a sweep; somebody's kick or status. */
const RESERVED_AT_SOURCE = 4;

/** Lambda's limits for an SQS event source. */
const LEAST_CONCURRENCY = 2;
const GREATEST_CONCURRENCY = 1000;

/** Leaves 18 runs at a source, and most of a small server's hundred connections to its applications. */
const DEFAULT_MAX_CONNECTIONS = 40;

/** With fewer a source could not serve the least concurrency that Lambda has. */
export const LEAST_MAX_CONNECTIONS = RESERVED_AT_SOURCE + LEAST_CONCURRENCY * CONNECTIONS_PER_RUN;

/** No more than there are lanes, since a lane is run by one at a time. */
export function maximumConcurrency(fleet: Fleet): number {
  const sources = sourcesOf(fleet);
  const lanes = lanesOf(fleet);
  const used = new Set(lanes.flatMap(({ source, destination }) => [source, destination]));
  const allowed = [...fleet.databases.values()]
    .filter(({ name }) => used.has(name))
    .map((database) => runsAt(database, sources.includes(database.name)));
  return Math.max(LEAST_CONCURRENCY, Math.min(GREATEST_CONCURRENCY, lanes.length, ...allowed));
}

function runsAt({ maxConnections = DEFAULT_MAX_CONNECTIONS }: Database, isSource: boolean): number {
  return Math.floor((maxConnections - (isSource ? RESERVED_AT_SOURCE : 0)) / CONNECTIONS_PER_RUN);
}
