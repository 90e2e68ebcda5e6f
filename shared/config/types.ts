/**
 * The configuration in two shapes: what a person writes (`FleetConfig`, generic so that a sync can only name
 * databases that exist) and what the program works with after validation (`Fleet`: every default filled in).
 */

/** Where a value is to be found at run time; the value itself is never in the file. Made by `env()` and `secret()`. */
export type ValueRef =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'secret'; readonly id: string; readonly field?: string };

export interface DatabaseConfig {
  readonly engine: 'postgres';
  /** Where the connection URL is found. A plain string is accepted if it holds no password. */
  readonly url: ValueRef | string;
  /** `poll` for sources whose applications use PREPARE TRANSACTION: no NOTIFY, the notifier looks at short intervals. */
  readonly wake?: 'notify' | 'poll';
}

/** `rate(5 minutes)` or `cron(0 3 * * ? *)`, as EventBridge writes them. */
export type Schedule = `rate(${string})` | `cron(${string})`;

export interface RelationConfig {
  /** `schema.table` */
  readonly table: string;
  readonly columns?: readonly string[];
  readonly as?: string | Readonly<Record<string, string>>;
  readonly where?: string;
  /** `row` forces row-level capture; by default the catalog decides. */
  readonly capture?: 'row';
}

export type CopyPolicy = 'if-empty' | 'always' | 'never';

export interface SyncConfig<DatabaseName extends string = string> {
  readonly sources: readonly DatabaseName[];
  readonly targets: readonly DatabaseName[];
  /** `'schema.table'`, a pattern such as `'schema.*'`, or an object. */
  readonly tables: readonly (string | RelationConfig)[];
  /** Tables and patterns that `tables` must not match. */
  readonly exclude?: readonly string[];
  /** When the sweep kicks the sync's lanes, changes or not. Default: only changes kick. */
  readonly schedule?: Schedule;
  /** Whether changes kick the lanes. Default true. */
  readonly autokick?: boolean;
  /** Whether targets get what is already there. Default `if-empty`, decided per table. */
  readonly copy?: CopyPolicy;
  /** Greatest number of deltas in one destination transaction. Default 100,000. */
  readonly batchRows?: number;
}

export interface FleetConfig<DatabaseName extends string = string> {
  /** Tells fleets in one account apart. Default `bucardo`. */
  readonly fleet?: string;
  readonly databases: Readonly<Record<DatabaseName, DatabaseConfig>>;
  readonly syncs: Readonly<Record<string, SyncConfig<NoInfer<DatabaseName>>>>;
}

/** A database after validation. */
export interface Database {
  readonly name: string;
  readonly engine: 'postgres';
  readonly url: ValueRef | string;
  readonly wake: 'notify' | 'poll';
}

/** Which tables of a source belong to a sync. `*` in either part matches any run of characters. */
export interface RelationSelector {
  readonly schema: string;
  readonly table: string;
  readonly capture: 'auto' | 'row';
}

/** A sync after validation. */
export interface Sync {
  readonly name: string;
  /** Exactly one, until merge lanes exist. */
  readonly source: string;
  readonly targets: readonly string[];
  readonly include: readonly RelationSelector[];
  readonly exclude: readonly Omit<RelationSelector, 'capture'>[];
  readonly schedule: Schedule | undefined;
  readonly autokick: boolean;
  readonly copy: CopyPolicy;
  readonly batchRows: number;
}

export interface Fleet {
  readonly name: string;
  readonly databases: ReadonlyMap<string, Database>;
  readonly syncs: ReadonlyMap<string, Sync>;
}

/** One sync × one destination: the unit of work, of ordering, of failure and of status. */
export interface Lane {
  /** `sync/destination`; also the FIFO message group. */
  readonly id: string;
  readonly sync: string;
  readonly source: string;
  readonly destination: string;
}
