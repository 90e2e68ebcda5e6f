/** Reads what a source has and what the configuration wants of it, and plans the difference. Changes nothing. */
import type { Database, Sync } from '../config/types.ts';
import { describeTables, listTables } from '../postgres/catalog.ts';
import type { Connection } from '../postgres/connection.ts';
import { displayRelation } from '../postgres/identifiers.ts';
import { readInstalled, readTableFacts } from './installed.ts';
import { type CapturePlan, planCapture } from './plan-capture.ts';
import { selectRelations } from './wanted.ts';
import { type CaptureLook, lookAtCapture } from './watch-capture.ts';

export interface SourceRequest {
  readonly database: Database;
  /** All syncs of the configuration, or those of this source. */
  readonly syncs: readonly Sync[];
  /** Only adds; what the configuration no longer has stays as it is. Default: it is taken away. */
  readonly additive?: boolean;
}

export interface SourcePlan extends CapturePlan {
  /** What the plan was made for; it is made again under the lock. */
  readonly request: SourceRequest;
}

export async function planSource(db: Connection, request: SourceRequest): Promise<SourcePlan> {
  const { database } = request;
  const syncs = request.syncs.filter(({ source }) => source === database.name);
  const installed = await readInstalled(db);
  const existing = await listTables(db);
  const tables = await describeTables(db, selectRelations(syncs, existing));
  const facts = await readTableFacts(
    db,
    [...tables.values()].map(({ oid }) => oid),
  );
  const looks = await readLooks(db);
  return {
    request,
    ...planCapture({
      database,
      syncs,
      existing,
      tables,
      facts,
      installed,
      looks,
      additive: request.additive,
    }),
  };
}

/** By `displayRelation`. */
export async function readLooks(db: Connection): Promise<ReadonlyMap<string, CaptureLook>> {
  return new Map((await lookAtCapture(db)).map((look) => [displayRelation(look.state), look]));
}
