/**
 * Every setting that a role or a database can have, at its worst value on both sides. What the list leaves out is harmless, each with
 * its reason; a setting of a new version that is in neither fails the test.
 */
import { describe, expect, test } from 'vitest';
import { startNotifier } from '../../notifier/start-notifier.ts';
import { purge } from '../../shared/capture/purge.ts';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { quoteLiteral } from '../../shared/postgres/identifiers.ts';
import { kickAndWait } from '../../shared/status/kick-and-wait.ts';
import { readStatus } from '../../shared/status/read-status.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { RecordingQueue } from '../support/notifying.ts';

const SHORT_MS = '400';

const WORST: Readonly<Record<string, string>> = {
  DateStyle: 'German, DMY',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kolkata',
  array_nulls: 'off',
  backslash_quote: 'off',
  bytea_output: 'escape',
  check_function_bodies: 'off',
  client_encoding: 'LATIN1',
  client_min_messages: 'debug1',
  constraint_exclusion: 'off',
  debug_parallel_query: 'on',
  default_statistics_target: '1',
  default_table_access_method: 'strange',
  default_tablespace: '',
  default_toast_compression: 'pglz',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  enable_bitmapscan: 'off',
  enable_hashagg: 'off',
  enable_hashjoin: 'off',
  enable_indexonlyscan: 'off',
  enable_indexscan: 'off',
  enable_material: 'off',
  enable_mergejoin: 'off',
  enable_nestloop: 'off',
  enable_partition_pruning: 'off',
  enable_seqscan: 'off',
  enable_sort: 'off',
  enable_tidscan: 'off',
  escape_string_warning: 'on',
  exit_on_error: 'on',
  extra_float_digits: '-15',
  force_parallel_mode: 'on',
  from_collapse_limit: '1',
  geqo_threshold: '2',
  hash_mem_multiplier: '1',
  idle_in_transaction_session_timeout: SHORT_MS,
  idle_session_timeout: SHORT_MS,
  jit: 'on',
  jit_above_cost: '0',
  join_collapse_limit: '1',
  lc_messages: 'C',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  lock_timeout: '1',
  maintenance_work_mem: '1MB',
  max_parallel_workers_per_gather: '8',
  plan_cache_mode: 'force_generic_plan',
  quote_all_identifiers: 'on',
  restrict_nonsystem_relation_kind: 'view, foreign-table',
  row_security: 'on',
  search_path: 'evil',
  session_replication_role: 'replica',
  standard_conforming_strings: 'off',
  statement_timeout: SHORT_MS,
  synchronous_commit: 'off',
  temp_buffers: '100',
  temp_tablespaces: '',
  transaction_timeout: SHORT_MS,
  transform_null_equals: 'on',
  work_mem: '64kB',
  xmlbinary: 'hex',
  xmloption: 'document',
};

/** Patterns of names, each with the reason why it is not tried. */
const HARMLESS: readonly (readonly [RegExp, string])[] = [
  [
    /^(cpu_|jit_|geqo|parallel_|min_parallel_|max_parallel_|seq_page_cost|random_page_cost|effective_|recursive_worktable)/,
    'costs of plans: only speed',
  ],
  [
    /^(cursor_tuple_fraction|synchronize_seqscans|stats_fetch_consistency|.*io_combine_limit|.*io_concurrency)/,
    'only speed',
  ],
  [
    /^enable_(async|distinct|gathermerge|group_by|incremental|memoize|parallel|partitionwise|presorted|self_join)/,
    'ways of planning that others replace',
  ],
  [
    /^(log_|debug_|trace_|track_|compute_query_id|backtrace_functions|update_process_title|md5_password_warnings)/,
    'what the server writes about us',
  ],
  [
    /^(vacuum_|gin_|maintenance_|logical_decoding_|wal_|backend_flush_after|commit_)/,
    'upkeep and writing of the log',
  ],
  [
    /^(deadlock_timeout|max_stack_depth|temp_file_limit)/,
    'resources of the server: an error of class 40, 53 or 54 says which',
  ],
  [
    /^(allow_|ignore_checksum_failure|zero_damaged_pages|lo_compat_privileges|event_triggers)/,
    'a superuser’s tools for repair',
  ],
  [
    /^(session_preload_libraries|local_preload_libraries|dynamic_library_path|extension_control_path)/,
    'code of others; one that is missing refuses the login and is named',
  ],
  [/^(tcp_|client_connection_check_interval|application_name)/, 'the connection; ours are set by us'],
  [/^transaction_(isolation|read_only|deferrable)$/, 'speaks of the running transaction only'],
  [/^default_transaction_read_only$/, 'respected: BUC-DB-READ-ONLY, tested below'],
  [
    /^(createrole_self_grant|password_encryption|scram_iterations|icu_validation_level|file_copy_method|default_text_search_config|timezone_abbreviations|operator_precedence_warning)$/,
    'of statements that are not ours',
  ],
];

/** Names that this server has, among those that anybody may set for a role. */
async function known(lane: LaneFixture): Promise<ReadonlySet<string>> {
  const rows = await lane.source.rows<{ name: string }>(
    `select name from pg_settings where context in ('user', 'superuser')`,
  );
  return new Set(rows.map(({ name }) => name));
}

type Holder = 'role in database' | 'database';

async function set(
  lane: LaneFixture,
  side: 'source' | 'target',
  settings: Readonly<Record<string, string>>,
  holder: Holder = 'role in database',
): Promise<void> {
  const names = await known(lane);
  const { name } = await lane[side].row<{ name: string }>('select current_database()::text as name');
  const whom = holder === 'database' ? `database ${name}` : `role postgres in database ${name}`;
  for (const [setting, value] of Object.entries(settings)) {
    if (!names.has(setting)) continue;
    await lane[side].script(`alter ${whom} set ${setting} = ${quoteLiteral(value)}`);
  }
  await lane.forgetConnections();
}

const SCHEMA = `create table item (id int primary key, at timestamptz, span interval, bytes bytea, rate float8, list text[], note text);
  create table parent (id int primary key);
  create table child (id int primary key, parent int references parent)`;

/** Each write at the target takes longer than any of the timeouts, while the source's transaction is open. */
const SLOW = `create function slowly() returns trigger language plpgsql as $$
    begin perform pg_sleep(0.9); return null; end $$;
  create trigger slowly after insert or update or delete on item for each statement execute function slowly();
  alter table item enable always trigger slowly`;

const STRANGE = `create access method strange type table handler heap_tableam_handler;
  create schema evil; create table evil.pg_class (evil int);
  create function evil.now() returns timestamptz language sql as 'select null::timestamptz'`;

const ITEM = (id: string): string =>
  `${id}, '2026-01-02 03:04:05.678901+00', '-1 years 2 days -03:04:05.6', '\\x00ff27', 0.1 + ${id}, array['NULL', null, 'a\\b'], 'note'`;

/** @param slow its writes outlast the timeouts, so that its batches, which are sized by their time, become small */
async function fixture(slow: boolean): Promise<LaneFixture> {
  const lane = await createLaneFixture({
    schema: { source: `${SCHEMA}; ${STRANGE}`, target: `${SCHEMA}; ${STRANGE}; ${slow ? SLOW : ''}` },
    tables: ['public.*'],
    copy: 'if-empty',
  });
  return lane;
}

test('every setting of this version is tried or has a reason not to be', async () => {
  const lane = await createLaneFixture();
  const unknown = [...(await known(lane))].filter(
    (name) => !(name in WORST) && !HARMLESS.some(([pattern]) => pattern.test(name)),
  );
  expect(unknown).toEqual([]);
});

async function expectArrival(lane: LaneFixture): Promise<void> {
  while ((await lane.run()).more) expect(await lane.held()).toEqual([]);
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
}

async function mainFlows(lane: LaneFixture): Promise<void> {
  await lane.apply();
  await lane.source.script(
    `insert into item values (${ITEM('1')}), (${ITEM('2')}); insert into parent values (1); insert into child values (1, 1)`,
  );
  await expectArrival(lane);
  await lane.source.script(
    `update item set note = 'few' where id = 1; delete from item where id = 2; insert into child values (2, 1)`,
  );
  await expectArrival(lane);
  await lane.source.script(`insert into item select ${ITEM('n')} from generate_series(10, 12000) n`);
  await expectArrival(lane);
  await lane.target.script(`alter table item add constraint no_five check (note <> 'five')`);
  await lane.source.script(
    `update item set note = 'five' where id = 15; update item set note = 'six' where id = 16`,
  );
  await lane.run();
  expect(await lane.held()).toEqual([]);
  expect((await lane.rejected()).map(({ key }) => key)).toEqual([['15']]);
  await lane.target.script('alter table item drop constraint no_five');
  await lane.source.script(`update item set note = 'fine' where id = 15`);
  const source = { database: SOURCE, url: lane.sourceUrl, purpose: 'test flows' };
  await withConnection(source, async (db) => {
    const outcomes = await kickAndWait(db, {
      sync: lane.sync,
      lanes: lane.lanes,
      send: async () => await lane.run(),
      timeoutSeconds: 60,
    });
    expect(outcomes).toMatchObject([{ done: true }]);
    expect(await readStatus(db, [lane.sync])).toMatchObject([
      { pending: 0, rejectedRows: 0, error: undefined },
    ]);
    await purge(db, { retentionSeconds: 0, log: lane.log });
  });
  await lane.expectEqual();
  const findings = await checkFleet({
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => (name === SOURCE ? lane.sourceUrl : lane.targetUrl()),
  });
  expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  const queue = new RecordingQueue();
  const notifier = await startNotifier({
    fleet: lane.fleet,
    resolveUrl: async () => lane.sourceUrl,
    queue,
    log: lane.log,
    timing: { heartbeatMs: 600_000 },
  });
  await notifier.ready;
  await notifier.stop();
  expect(queue.kicked(lane.lane.id)).toBe(true);
}

describe.each(['role in database', 'database'] as const)('set for a %s', (holder) => {
  test('all at their worst on both sides, everything works', { timeout: 240_000 }, async () => {
    const lane = await fixture(false);
    await set(lane, 'source', WORST, holder);
    await set(lane, 'target', WORST, holder);
    await mainFlows(lane);
  });
});

describe('one at a time', () => {
  const ALONE = [
    'statement_timeout',
    'idle_in_transaction_session_timeout',
    'idle_session_timeout',
    'transaction_timeout',
    'lock_timeout',
    'exit_on_error',
    'array_nulls',
    'standard_conforming_strings',
    'quote_all_identifiers',
    'session_replication_role',
    'default_transaction_isolation',
  ];
  test.each(ALONE)('%s', async (name) => {
    const lane = await fixture(true);
    const settings = { [name]: WORST[name] ?? '' };
    await set(lane, 'source', settings);
    await set(lane, 'target', settings);
    await lane.source.script(`insert into item values (${ITEM('1')}), (${ITEM('2')})`);
    await lane.run();
    await lane.source.script(`update item set note = 'changed'`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });
});

test('a database that is read-only by default is told, not written', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, tables: ['public.*'] });
  await set(lane, 'target', { default_transaction_read_only: 'on' });
  await lane.source.script(`insert into parent values (1)`);
  await expect(lane.run()).rejects.toMatchObject({ code: 'BUC-DB-READ-ONLY' });
});

test('a role that writes in the replica role by default is named by the check of a source', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, tables: ['public.*'] });
  await set(lane, 'source', { session_replication_role: 'replica' });
  const findings = await checkFleet({
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => (name === SOURCE ? lane.sourceUrl : lane.targetUrl()),
  });
  expect(findings).toContainEqual(
    expect.objectContaining({
      severity: 'warning',
      code: 'replica-role-by-default',
      text: expect.stringContaining('postgres') as string,
    }),
  );
});

test('a session that the server ends while it is idle says why', async () => {
  const lane = await createLaneFixture({ schema: SCHEMA, tables: ['public.*'] });
  const source = { database: SOURCE, url: lane.sourceUrl, purpose: 'test idle' };
  await withConnection(source, async (db) => {
    const ended = new Promise<void>((resolve) => db.onEnd(resolve));
    await db.script(`begin; set local idle_in_transaction_session_timeout = 20`);
    await ended;
    await expect(db.script('select 1')).rejects.toMatchObject({ code: 'BUC-DB-TIMEOUT', sqlstate: '25P03' });
  });
});
