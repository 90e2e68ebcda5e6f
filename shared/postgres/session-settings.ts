/**
 * The settings under which our statements run, whatever a role, a database or `ALTER SYSTEM` sets. With them every value's text
 * form is exact and the same everywhere, names in our SQL stand for one thing, and no timeout of an application's ends a run.
 * Sources: the Postgres manual's chapters "Client Connection Defaults", "Version and Platform Compatibility" and on the
 * formats of each type. Pure.
 */
import { quoteLiteral } from './identifiers.ts';

export type Settings = Readonly<Record<string, string>>;

interface Setting {
  readonly name: string;
  readonly value: string;
  /** `server_version_num` of the first version that has it. */
  readonly since?: number;
}

const SETTINGS: readonly Setting[] = [
  // First, since it ends the others too.
  { name: 'statement_timeout', value: '0' },
  // Names in our SQL: nobody's table, function or operator stands in for Postgres's own.
  { name: 'search_path', value: 'pg_catalog' },
  // A filter that nobody sees would be a lost row; this makes it an error.
  { name: 'row_security', value: 'off' },
  // Text forms of values, at reading and at writing.
  { name: 'timezone', value: 'UTC' },
  { name: 'datestyle', value: 'ISO, YMD' },
  { name: 'intervalstyle', value: 'postgres' },
  { name: 'extra_float_digits', value: '1' },
  { name: 'bytea_output', value: 'hex' },
  { name: 'lc_monetary', value: 'C' },
  { name: 'xmloption', value: 'content' },
  { name: 'array_nulls', value: 'on' },
  // How our own SQL is read, and how the catalogs' functions write names.
  { name: 'standard_conforming_strings', value: 'on' },
  { name: 'quote_all_identifiers', value: 'off' },
  { name: 'client_min_messages', value: 'warning' },
  // An error is answered, not a reason to end the session: some are expected.
  { name: 'exit_on_error', value: 'off' },
  // Timeouts are meant for applications. Ours are asked for where a statement may wait.
  { name: 'lock_timeout', value: '0' },
  { name: 'idle_in_transaction_session_timeout', value: '0' },
  { name: 'idle_session_timeout', value: '0', since: 140000 },
  { name: 'transaction_timeout', value: '0', since: 170000 },
  // Single statements are transactions too.
  { name: 'default_transaction_isolation', value: 'read committed' },
  { name: 'default_transaction_deferrable', value: 'off' },
  // The purge reads pages of delta tables by their addresses.
  { name: 'default_table_access_method', value: 'heap' },
  // Plans: a batch chooses among all ways to join, and planning anew costs less than a bad plan.
  { name: 'plan_cache_mode', value: 'auto' },
  { name: 'jit', value: 'off' },
  ...[
    'bitmapscan',
    'hashagg',
    'hashjoin',
    'indexonlyscan',
    'indexscan',
    'material',
    'mergejoin',
    'nestloop',
    'seqscan',
    'sort',
    'tidscan',
  ].map((way) => ({ name: `enable_${way}`, value: 'on' })),
];

/**
 * A client whose host died without a word loses its session, and with it its locks, within a minute; the system's default is two
 * hours. Between a pooler and its server that is the pooler's affair.
 */
const KEEPALIVES: readonly Setting[] = [
  { name: 'tcp_keepalives_idle', value: '20' },
  { name: 'tcp_keepalives_interval', value: '10' },
  { name: 'tcp_keepalives_count', value: '3' },
];

/**
 * Settings that stand for something else in a transaction that has begun already. Defaults for transactions come too late there.
 */
const WITHIN_TRANSACTION: ReadonlyMap<string, string> = new Map([
  ['default_transaction_read_only', 'transaction_read_only'],
]);
const BEGUN_WITHOUT: ReadonlySet<string> = new Set([
  'default_transaction_isolation',
  'default_transaction_deferrable',
]);

/**
 * What one database commits is relied upon in another, so our commits are durable whatever the default; `local` and what goes beyond
 * `on` stay.
 */
const durable = (local: boolean): string =>
  `select pg_catalog.set_config('synchronous_commit', 'on', ${local}) where pg_catalog.current_setting('synchronous_commit') = 'off'`;

/** For a session that is ours alone. */
export function sessionScript(serverVersion: number): string {
  const sets = [...SETTINGS, ...KEEPALIVES]
    .filter(({ since = 0 }) => serverVersion >= since)
    .map(({ name, value }) => `set ${name} = ${quoteLiteral(value)}`);
  return [...sets, durable(false)].join('; ');
}

/** For one transaction, which leaves nothing behind in a session that others may get next. @param more of this connection's own */
export function transactionScript(serverVersion: number, more: Settings): string {
  const own = SETTINGS.filter(
    ({ name, since = 0 }) => serverVersion >= since && !BEGUN_WITHOUT.has(name) && !(name in more),
  ).map(({ name, value }) => setLocal(name, value));
  return [...own, durable(true), ...Object.entries(more).map(([name, value]) => setLocal(name, value))].join(
    '; ',
  );
}

export function setLocal(name: string, value: string): string {
  return `set local ${WITHIN_TRANSACTION.get(name) ?? name} = ${quoteLiteral(value)}`;
}
