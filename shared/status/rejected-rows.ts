/** The rows that destinations refused: listing them, trying them again, forgetting them. */
import type { Connection } from '../postgres/connection.ts';
import { displayRelation } from '../postgres/identifiers.ts';
import { PARKED, type ParkedFilter, parkedValues, pendParked } from '../replicate/pend-parked.ts';

export interface RejectedRow {
  readonly lane: string;
  readonly relation: string;
  /** The key's values in the key's order. Shown to the person who asks for them, never logged. */
  readonly key: readonly (string | null)[];
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly rejectedAt: string;
}

export type RejectedFilter = Omit<ParkedFilter, 'sqlstates' | 'keyHashes'>;

interface Row {
  readonly sync: string;
  readonly destination: string;
  readonly schema: string;
  readonly table: string;
  readonly key: readonly (string | null)[];
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly rejectedAt: string;
}

export async function listRejected(
  source: Connection,
  filter: RejectedFilter,
): Promise<readonly RejectedRow[]> {
  const rows = await source.rows<Row>(
    `select r.sync, r.destination, r.schema_name as schema, r.table_name as table, r.key, r.error_code as code,
       r.error_detail as message, r.attempts, r.rejected_at as "rejectedAt"
     from bucardo.rejected_row r where ${PARKED} order by r.rejected_at, r.key`,
    parkedValues(filter),
  );
  return rows.map(({ sync, destination, schema, table, ...rest }) => ({
    lane: `${sync}/${destination}`,
    relation: displayRelation({ schema, table }),
    ...rest,
  }));
}

/** Makes the parked keys pending again; they stay parked until a run applies them. Returns how many. */
export async function retryRejected(source: Connection, filter: RejectedFilter): Promise<number> {
  return await source.transaction('read committed', () => pendParked(source, filter));
}

/** Forgets the parked keys; the destination keeps what it has. Returns how many. */
export async function discardRejected(source: Connection, filter: RejectedFilter): Promise<number> {
  return await source.run(`delete from bucardo.rejected_row r where ${PARKED}`, parkedValues(filter));
}
