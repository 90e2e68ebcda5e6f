/**
 * The lane's row at a Postgres destination, in `bucardo.lane`: a fence and a receipt.
 *
 * - Fence: a run raises the row's number and commits that before it reads its source. Every transaction of the run that writes
 *   rows changes the row first, on condition that the number is still its own. So a run that was thought dead and wakes up
 *   late writes nothing, whatever became of its session and its lock.
 * - Receipt: the same statement counts the transaction and says up to which mark the destination then has the source's
 *   changes. A destination that was restored from a backup has an older receipt than the source remembers.
 *
 * A row belongs to one lane of one source, named by cluster and database: two fleets may have lanes of the same name. A database that
 * is a source too has this table beside its control tables.
 */
import { BucardoError } from '../../errors/bucardo-error.ts';
import type { Connection } from '../../postgres/connection.ts';
import type { LaneRow, Receipt } from '../target.ts';

/** Idempotent; one transaction. */
export const LANE_TABLE: readonly string[] = [
  `create schema if not exists bucardo`,
  `create table if not exists bucardo.lane (
  lane text not null,
  source text not null,
  run bigint not null default 0,
  writes bigint not null default 0,
  write_run bigint not null default 0,
  mark txid_snapshot,
  held jsonb not null default '{}',
  at timestamptz not null default clock_timestamp(),
  primary key (lane, source)
)`,
];

/** What a run does with the table. */
export const LANE_TABLE_RIGHTS = ['select', 'insert', 'update'] as const;

export type LaneTable = 'usable' | 'absent' | 'forbidden';

/** One row: whether the table is there for the session's role. The catalogs may be read without rights on the schema. */
const FIND_TABLE = `
  select coalesce((
    select case when c.relkind = 'r' and has_schema_privilege(n.oid, 'usage')
      and ${LANE_TABLE_RIGHTS.map((right) => `has_table_privilege(c.oid, '${right}')`).join(' and ')}
      then 'usable' else 'forbidden' end
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname, c.relname) = ('bucardo', 'lane')
  ), 'absent') as found`;

export async function findLaneTable(db: Connection): Promise<LaneTable> {
  const { found } = await db.row<{ found: LaneTable }>(FIND_TABLE);
  return found;
}

/** $1 lane, $2 source. One row; locks it until the commit, behind a transaction of a run before it. */
const RAISE = `
  insert into bucardo.lane as l (lane, source, run) values ($1, $2, 1)
  on conflict (lane, source) do update set run = l.run + 1, at = clock_timestamp()
  returning l.run::text, l.writes::text, l.write_run::text as "writeRun", l.mark::text, l.held`;

/** $1 lane, $2 source, $3 the number that the run had, $4 the number that it takes. */
const RAISE_TO = `
  update bucardo.lane set run = $4::bigint
  where lane operator(pg_catalog.=) $1 and source operator(pg_catalog.=) $2 and run operator(pg_catalog.=) $3::bigint`;

/** $1 lane, $2 source, $3 run, $4 whether a receipt is given, $5 its mark, $6 its held marks, $7 whether it counts. No row: fenced. */
const WRITE = `
  update bucardo.lane set writes = writes operator(pg_catalog.+) $7::int, write_run = run, at = pg_catalog.clock_timestamp(),
    mark = case when $4 then $5::pg_catalog.txid_snapshot else mark end,
    held = case when $4 then $6::pg_catalog.jsonb else held end
  where lane operator(pg_catalog.=) $1 and source operator(pg_catalog.=) $2 and run operator(pg_catalog.=) $3::bigint
  returning writes::pg_catalog.text`;

interface RaisedRow {
  readonly run: string;
  readonly writes: string;
  readonly writeRun: string;
  readonly mark: string | null;
  readonly held: Readonly<Record<string, string>>;
}

/** Sessions that have found the table usable. */
const usable = new WeakSet<Connection>();

export class PostgresLaneRow {
  readonly #db: Connection;
  readonly #lane: string;
  #own: { readonly source: string; run: bigint } | undefined;
  #written: bigint | undefined;

  constructor(db: Connection, lane: string) {
    this.#db = db;
    this.#lane = lane;
  }

  /** The number of the last transaction that is known to have been committed; undefined without a row. */
  get written(): bigint | undefined {
    return this.#written;
  }

  /** Begins a run, outside of a transaction. */
  async raise(source: string): Promise<LaneRow | 'absent' | 'forbidden'> {
    if (!usable.has(this.#db)) {
      const found = await findLaneTable(this.#db);
      if (found !== 'usable') return found;
      usable.add(this.#db);
    }
    let row: RaisedRow | undefined;
    try {
      [row] = await this.#db.rowsPrepared<RaisedRow>(RAISE, [this.#lane, source]);
    } catch (error) {
      // The table of a warm session may be gone, or the right to use it.
      usable.delete(this.#db);
      const found = await findLaneTable(this.#db);
      if (found === 'usable') throw error;
      return found;
    }
    if (row === undefined) throw this.#overtaken();
    const run = BigInt(row.run);
    this.#own = { source, run };
    this.#written = BigInt(row.writes);
    return { ...row, run, writes: this.#written, writeRun: BigInt(row.writeRun) };
  }

  /** The source knows of later runs than the row does. Outside of a transaction. */
  async raiseTo(run: bigint): Promise<void> {
    if (this.#own === undefined) return;
    const { source } = this.#own;
    const raised = await this.#db.run(RAISE_TO, [this.#lane, source, String(this.#own.run), String(run)]);
    if (raised === 0) throw this.#overtaken();
    this.#own.run = run;
  }

  /**
   * First in every transaction that writes rows; does nothing without a row. Returns what to call after the commit.
   *
   * @param count false for further transactions of a step that the source records once
   * @throws BUC-LANE-OVERTAKEN if another run has begun
   */
  async write(receipt: Receipt | undefined, count: boolean): Promise<() => void> {
    if (this.#own === undefined) return () => {};
    const { source, run } = this.#own;
    const [row] = await this.#db.rowsPrepared<{ writes: string }>(WRITE, [
      this.#lane,
      source,
      String(run),
      receipt !== undefined,
      receipt?.mark ?? null,
      JSON.stringify(receipt?.held ?? {}),
      count ? 1 : 0,
    ]);
    if (row === undefined) throw this.#overtaken();
    return () => (this.#written = BigInt(row.writes));
  }

  #overtaken(): BucardoError {
    return new BucardoError('BUC-LANE-OVERTAKEN', { database: this.#db.database });
  }
}
