/**
 * Every error that a person may meet, in one table. `docs/errors.md` is generated from it, so each text is written
 * for the reader of that page: what happened, what the program does next, what a person can do.
 */

/** What the program does by itself after the error: try again at once, try again with growing delay, or give up. */
export type Retry = 'now' | 'later' | 'never';

interface ErrorDescription {
  readonly title: string;
  readonly retry: Retry;
  /** What it means and what happens next, for the reference page. */
  readonly meaning: string;
  /** What a person can do. Printed with the error. */
  readonly remedy: string;
}

const describe = <const Table extends Record<`BUC-${string}`, ErrorDescription>>(table: Table): Table =>
  table;

export const errorCodes = describe({
  'BUC-CONFIG-INVALID': {
    title: 'The configuration has problems',
    retry: 'never',
    meaning:
      'bucardo.config.ts was read, but some of its values cannot be used. All problems are listed at once.',
    remedy: 'Correct each listed path in bucardo.config.ts and run the command again.',
  },
  'BUC-CONFIG-NOT-FOUND': {
    title: 'There is no configuration file',
    retry: 'never',
    meaning: 'No bucardo.config.ts was found where the command looked.',
    remedy:
      'Run the command in the folder of bucardo.config.ts, name the file with --config, or write one with `bucardo init`.',
  },
  'BUC-CONFIG-UNREADABLE': {
    title: 'The configuration file cannot be loaded',
    retry: 'never',
    meaning:
      'bucardo.config.ts exists, but importing it failed, or it has no default export made by defineConfig.',
    remedy: 'Correct the reported line; the file must end in `export default defineConfig({ … })`.',
  },
  'BUC-SECRET-MISSING': {
    title: 'A referenced value is not there',
    retry: 'later',
    meaning: 'An env() or secret() reference of the configuration has no value where the program runs.',
    remedy: 'Set the named environment variable, or create the named secret and allow this role to read it.',
  },
  'BUC-DB-UNREACHABLE': {
    title: 'A database cannot be reached',
    retry: 'later',
    meaning:
      'The connection was refused, timed out, broke off, or the host name does not resolve. Only lanes that need this database wait; they catch up by themselves.',
    remedy: 'Check that the server runs and that host, port and network rules let this machine in.',
  },
  'BUC-DB-AUTH': {
    title: 'A database refused the login',
    retry: 'later',
    meaning:
      'The server answered, but user, password, database name or pg_hba.conf do not allow the connection.',
    remedy: 'Correct the URL behind the reference in the configuration, or the server’s access rules.',
  },
  'BUC-DB-TLS': {
    title: 'TLS was wanted but could not be agreed on',
    retry: 'later',
    meaning:
      'The URL asks for TLS (sslmode), but the server offers none, or its certificate cannot be verified.',
    remedy: 'Turn TLS on at the server, give its CA with sslrootcert, or change sslmode in the URL.',
  },
  'BUC-DB-VERSION': {
    title: 'The server is too old',
    retry: 'never',
    meaning: 'Sources and Postgres targets must be Postgres 12 or newer.',
    remedy: 'Upgrade the server.',
  },
  'BUC-DB-RIGHTS': {
    title: 'A right is missing',
    retry: 'later',
    meaning: 'The role may connect, but lacks a right on the named object. Nothing was changed.',
    remedy: 'Grant the named right to the role; docs/2-install.md lists all of them.',
  },
  'BUC-DB-READ-ONLY': {
    title: 'A database takes no writes',
    retry: 'later',
    meaning:
      'The server is a standby, or the role’s transactions are read-only there (default_transaction_read_only). The lane waits and catches up when writes are possible.',
    remedy:
      'If it is a standby, point the URL at the primary. If default_transaction_read_only is on, switch it off for the replication role alone: alter role … set default_transaction_read_only = off.',
  },
  'BUC-DB-FULL': {
    title: 'A database has no room left',
    retry: 'later',
    meaning: 'The server ran out of disk, memory or connections. The lane waits and catches up.',
    remedy: 'Give the server more of the named resource.',
  },
  'BUC-DB-LIMIT': {
    title: 'A limit of Postgres was exceeded',
    retry: 'later',
    meaning:
      'Something is larger than Postgres allows: a row, an index entry, the number of columns, a text of more than one gigabyte. Where it is one row, the row is parked and the others go on.',
    remedy:
      'The message names the limit. Make the value smaller, or change the table or index that it is too large for.',
  },
  'BUC-DB-LOCKED': {
    title: 'A lock was not to be had in time',
    retry: 'later',
    meaning:
      'Another session held a lock for too long, or a deadlock or serialization failure ended the transaction. Nothing was half-applied; it is tried again.',
    remedy:
      'Usually none. If it lasts, look in pg_stat_activity for the session that holds the lock, and in pg_prepared_xacts for a prepared transaction.',
  },
  'BUC-DB-TIMEOUT': {
    title: 'A timeout of the server ended the session',
    retry: 'later',
    meaning:
      'idle_in_transaction_session_timeout, transaction_timeout or idle_session_timeout is set where the role cannot set it back: by a pooler, or by a trigger or function that runs in our transaction. The transaction was rolled back and is tried again.',
    remedy: 'Set the named timeout to 0 for the role, at the server and at the pooler.',
  },
  'BUC-DB-FAILED': {
    title: 'A database reported an unexpected error',
    retry: 'later',
    meaning:
      'The server gave an error that has no entry of its own here; its SQLSTATE is named. The transaction was rolled back and is tried again with growing delay.',
    remedy: 'Look the SQLSTATE up in the Postgres manual, and the full message in the server’s log.',
  },
  'BUC-TABLE-MISSING': {
    title: 'A table does not exist',
    retry: 'later',
    meaning: 'A relation of the sync is not there in the named database.',
    remedy: 'Create the table there, or take it out of the sync and run `bucardo apply`.',
  },
  'BUC-USER-CODE': {
    title: 'A function of the database’s own failed',
    retry: 'later',
    meaning:
      'A trigger, rule, constraint, default or generated column of the database calls the named function, and it did not find a table or a right that it needs. It runs with the role’s own settings (search_path, DateStyle, …), as in any session of that role. The relation waits and keeps its place; the others of the sync go on.',
    remedy:
      'Correct the function: qualify the names in it, or give it a search_path of its own (`alter function … set search_path`). Or grant the role what it needs.',
  },
  'BUC-TABLE-LOCKED': {
    title: 'A table is locked',
    retry: 'later',
    meaning:
      'Another session keeps a table for itself, as VACUUM FULL, CLUSTER, REINDEX and most forms of ALTER TABLE do, or changed it each time that it was to be read. Only this table waits and keeps its place; the others of the sync go on. Nothing waits in the lock’s queue meanwhile, and no snapshot is kept open.',
    remedy:
      'Usually none: the table catches up by itself. If it lasts, look in pg_stat_activity for the session that holds the lock.',
  },
  'BUC-TABLE-REPLACED': {
    title: 'Another table has the captured table’s name',
    retry: 'later',
    meaning:
      'The table was dropped and created again, or swapped with another one by renaming. The table that has the name now is not captured, so its changes are not known. This relation waits; the others of the sync go on.',
    remedy: 'Run `bucardo apply`, then `bucardo copy SYNC --table NAME`.',
  },
  'BUC-TABLE-RENAMED': {
    title: 'A captured table has another name now',
    retry: 'later',
    meaning:
      'The captured table was renamed or moved to another schema. Its changes are still captured, but the sync knows it by its old name. This relation waits; the others of the sync go on.',
    remedy:
      'Give the table its old name back, and it catches up by itself; or name it anew in the sync and at the targets, and run `bucardo apply`.',
  },
  'BUC-TABLE-NO-KEY': {
    title: 'A table has no key',
    retry: 'never',
    meaning:
      'Rows are found by primary key or unique index, and the table has none that can serve: valid, checked at once (not deferrable), on plain columns, for all rows (no WHERE), not WITHOUT OVERLAPS. An index that cannot serve is named with the reason.',
    remedy:
      'Add a primary key (or a unique index without expressions and without a predicate, not deferrable), beside one that cannot serve if need be; or exclude the table.',
  },
  'BUC-TARGET-NO-UNIQUE': {
    title: 'The target has no unique index on the key',
    retry: 'later',
    meaning:
      'The key by which rows are replicated is not unique at the target, so rows could be doubled there.',
    remedy: 'Create a unique index on the named columns at the target.',
  },
  'BUC-COPY-ACTS': {
    title: 'Emptying the table would change others',
    retry: 'later',
    meaning:
      'A copy begins by emptying the table at the target. Rows of another table there refer to it by a foreign key that would delete or change them (ON DELETE CASCADE, SET NULL or SET DEFAULT), and the target’s role cannot switch that off.',
    remedy:
      'Copy the tables together (`bucardo copy SYNC` without --table), or let the target’s role set session_replication_role.',
  },
  'BUC-COLUMN-MISSING': {
    title: 'A column is missing at the target',
    retry: 'later',
    meaning:
      'The source has a column that the target lacks. This relation waits and keeps its place; the others of the sync go on.',
    remedy: 'Add the column at the target; the relation then catches up by itself.',
  },
  'BUC-COLUMN-REQUIRED': {
    title: 'The target wants a column that the source lacks',
    retry: 'later',
    meaning:
      'A column of the target is NOT NULL without a default, and the source has no such column. This relation waits; the others go on.',
    remedy: 'Give the column a default at the target, allow NULL, or add it at the source.',
  },
  'BUC-COLUMN-TYPE': {
    title: 'A column’s type differs',
    retry: 'never',
    meaning: 'A column has another type at the target than at the source. Values may be refused there.',
    remedy: 'Make the types equal, or accept it if every value fits.',
  },
  'BUC-NAME-TAKEN': {
    title: 'The database is known under another name',
    retry: 'never',
    meaning:
      'The queue tables record the name by which the configuration calls this database; the configuration now uses another one.',
    remedy: 'Use the recorded name, or run `bucardo uninstall` under the old name first.',
  },
  'BUC-KEY-CHANGED': {
    title: 'A table’s key is not the one that is captured',
    retry: 'never',
    meaning:
      'The table’s key columns differ from those of its delta table, so old deltas would not name rows.',
    remedy:
      'Let the lanes drain, run `bucardo uninstall --table NAME`, then `bucardo apply` and `bucardo copy`.',
  },
  'BUC-NOT-APPLIED': {
    title: 'The source is not prepared for this sync',
    retry: 'later',
    meaning:
      'Delta tables, triggers or the lane’s progress mark are not (all) there, or the control tables are of an older version.',
    remedy: 'Run `bucardo apply`.',
  },
  'BUC-SOURCE-UNSTEADY': {
    title: 'A source seems to be another database each time',
    retry: 'later',
    meaning:
      'The queue tables say that they belong to another database or cluster, as after a restore. They were taken over, and the next look said so again: sessions reach different servers, or something undoes changes of schema bucardo. Nothing was replicated.',
    remedy:
      'Let the URL reach one server only, and look for rules or triggers on the tables of schema bucardo.',
  },
  'BUC-LANE-UNKNOWN': {
    title: 'There is no such sync or lane',
    retry: 'never',
    meaning: 'The name given, or the name in a kick, is not in the configuration.',
    remedy: 'Use a name of bucardo.config.ts; `bucardo status` lists the lanes.',
  },
  'BUC-LANE-BUSY': {
    title: 'Another run of this lane is under way',
    retry: 'now',
    meaning: 'One run at a time holds the lane’s lock at the destination. The kick goes back to the queue.',
    remedy: 'None. If it lasts, look for the session that holds the advisory lock at the destination.',
  },
  'BUC-LANE-OVERTAKEN': {
    title: 'Another run of this lane has begun since',
    retry: 'now',
    meaning:
      'A run raises its number at the target, and records it at the source, before it reads. This one found a greater number, or none of its own: it was frozen or cut off, or the source failed over under it. It wrote nothing more. The next run goes on from what is recorded.',
    remedy: 'None.',
  },
  'BUC-LANE-POOLED': {
    title: 'A database is reached through a transaction pooler',
    retry: 'later',
    meaning:
      'A lane’s lock and LISTEN belong to a session, but what answers gives each transaction another session of the server. Nothing was set or written in any of them.',
    remedy: 'Use a direct connection or a pooler in session mode for this database.',
  },
  'BUC-ROW-REFUSED': {
    title: 'A row was refused',
    retry: 'never',
    meaning:
      'A constraint, type or size of the database does not allow a row. At a target the row is parked with its error, the rest of the batch is applied, and it is tried again when the row changes or when a person says so.',
    remedy: 'Correct the row or the target, then `bucardo rejected retry`; or `bucardo rejected discard`.',
  },
  'BUC-ROW-UNREADABLE': {
    title: 'A row cannot be read',
    retry: 'never',
    meaning:
      'The source cannot send a row: its text form is larger than one gigabyte, it has bytes that are no characters, or what is stored of one of its values is damaged. The row is parked with Postgres’s message, the rest of the batch is applied, and it is tried again when the row changes or when a person says so.',
    remedy:
      'Make the value smaller or mend it, then `bucardo rejected retry`; or `bucardo rejected discard`.',
  },
  'BUC-TOO-MANY-REFUSED': {
    title: 'The target refused too many rows',
    retry: 'later',
    meaning:
      'More rows of one relation were refused than are parked in one run; the cause is probably not in the rows. The relation waits and keeps its place; the others go on.',
    remedy: 'Correct the named constraint or type at the target; the relation then catches up by itself.',
  },
  'BUC-COPY-NEEDED': {
    title: 'A table needs a copy',
    retry: 'never',
    meaning:
      'The source’s table was truncated, or the source was restored, so deltas alone no longer make the target equal.',
    remedy: 'Run `bucardo copy SYNC --table NAME`.',
  },
  'BUC-QUEUE-FAILED': {
    title: 'The queue does not answer',
    retry: 'later',
    meaning:
      'SQS (or its local stand-in) refused or did not answer. Kicks are kept and sent again; no change is lost, they wait in the delta tables.',
    remedy: 'Check the queue URL, the credentials and the network.',
  },
  'BUC-DEV-RUNNING': {
    title: 'Something runs the lanes here already',
    retry: 'never',
    meaning:
      '`bucardo dev` was started for a configuration that another `bucardo dev` on this machine runs. A second one would do no harm, and no good.',
    remedy: 'Use the running one, or end it first.',
  },
  'BUC-LANE-DEAD-LETTER': {
    title: 'A lane’s runs end without a report',
    retry: 'later',
    meaning:
      'The lane’s kick was tried until it became a dead letter, and no run told why: the function was killed, or ran out of memory or time, each time. It is tried again with growing delay.',
    remedy:
      'Look in the function’s log (`bucardo logs SYNC --aws`), give it more memory, or make batchRows smaller.',
  },
  'BUC-FLEET-NOT-FOUND': {
    title: 'No deployed fleet was found',
    retry: 'never',
    meaning:
      'The command talks to a deployed fleet (--aws), which it finds by the outputs of its CloudFormation stack, and did not find them.',
    remedy: 'Choose the stack, region and profile with --stack, --region and --profile.',
  },
  'BUC-FUNCTION-FAILED': {
    title: 'A function of the deployed fleet did not answer',
    retry: 'never',
    meaning: 'AWS did not run the function, or the function ended without an error of its own.',
    remedy:
      'Look at `bucardo logs SYNC --aws` and at the function’s own log; check that the role may call it.',
  },
  'BUC-REQUEST-MALFORMED': {
    title: 'The function was asked for something it does not know',
    retry: 'never',
    meaning: 'The kick or operate function was invoked with an event that it cannot read. Nothing was done.',
    remedy: 'Send an event as docs/5-deploying.md describes it, such as { "sync": "orders" }.',
  },
  'BUC-LANE-NOT-DONE': {
    title: 'A lane has not brought everything over',
    retry: 'never',
    meaning:
      'The command waited for a lane, and it failed, holds a relation back, or took longer than allowed. It is tried again by itself.',
    remedy: 'Look at `bucardo status`, mend what it names, or wait longer with --timeout.',
  },
  'BUC-DEV-NOT-RUNNING': {
    title: 'Nothing runs the lanes here',
    retry: 'never',
    meaning: 'The command talks to a running `bucardo dev` or to a deployed queue, and found neither.',
    remedy: 'Start `bucardo dev` in this folder, or set BUCARDO_QUEUE_URL.',
  },
  'BUC-UNEXPECTED': {
    title: 'An error that nobody foresaw',
    retry: 'later',
    meaning:
      'The program met something it has no rule for. The run ends, keeps its place and is tried again with growing delay.',
    remedy: 'Please report it with the log event.',
  },
  'BUC-KICK-MALFORMED': {
    title: 'A message of the kick queue is not a kick',
    retry: 'never',
    meaning:
      'Something other than this program sent to the queue, or another version of it did. The message goes to the dead letters; no change is lost, changes wait in the delta tables.',
    remedy:
      'Find who sends to the queue, or bring notifier, functions and CLI to one version; then delete the dead letter.',
  },
  'BUC-FILE-NOT-WRITTEN': {
    title: 'A file was not written',
    retry: 'never',
    meaning:
      'The command writes a file, but it is there already or the folder takes no files. Nothing was changed.',
    remedy: 'Choose another place with --config, or make the folder writable.',
  },
  'BUC-CHECK-FAILED': {
    title: 'The check found errors',
    retry: 'never',
    meaning:
      '`bucardo check` looked at every database and found at least one thing that keeps a sync from working. Its report names each of them.',
    remedy: 'Do what the report says at each ERROR, and run `bucardo check` again.',
  },
});

export type ErrorCode = keyof typeof errorCodes;
