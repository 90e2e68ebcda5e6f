/** From what servers say about themselves to findings. Pure. */
import type { Wake } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import { WITHOUT_LANE_TABLE } from '../targets/lane-tables.ts';
import { laneTableScript } from '../targets/postgres/lane-table.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { type Finding, findingOf, missingRights, note, rightOf, type Where } from './finding.ts';
import type { Clock, ServerFacts } from './read-server.ts';

export interface DatabaseRoles {
  readonly isSource: boolean;
  readonly isTarget: boolean;
  /** Of the configuration. */
  readonly wake: Wake;
}

/** The newest that the test suite runs on. */
const NEWEST_TESTED_MAJOR = 18;

/** Versions order changes by time, so clocks that differ by more let an older change win (once several sources merge). */
const CLOCK_LIMIT_SECONDS = 1;

export function findServer(
  database: string,
  facts: ServerFacts,
  { isSource, isTarget, wake }: DatabaseRoles,
): readonly Finding[] {
  const where = { database };
  const findings: Finding[] = [note('info', 'server', where, describeServer(facts))];
  const major = Math.floor(facts.version / 10_000);
  if (major > NEWEST_TESTED_MAJOR) {
    findings.push(
      note(
        'info',
        'server-newer',
        where,
        `Postgres ${major} is newer than any that this version is tested with (12 to ${NEWEST_TESTED_MAJOR})`,
      ),
    );
  }
  if (!facts.tls && !facts.local) {
    findings.push(
      note(
        'warning',
        'tls-off',
        where,
        'the connection is not encrypted: rows travel in the clear',
        'Add sslmode=verify-full (and sslrootcert, if needed) to the URL.',
      ),
    );
  }
  if (facts.readOnly !== 'no' && (isSource || isTarget)) {
    const [detail, remedy] =
      facts.readOnly === 'standby'
        ? ['the server is a standby', 'Point the URL at the primary.']
        : [
            'default_transaction_read_only is on for the role',
            `For this role alone: alter role ${quoteIdentifier(facts.role)} in database ${quoteIdentifier(facts.databaseName)} set default_transaction_read_only = off;`,
          ];
    findings.push(findingOf(new BucardoError('BUC-DB-READ-ONLY', { database, detail, remedy })));
  }
  const { role } = facts;
  if (isTarget && !facts.mayCreateTemporary) {
    const grant = { on: `database ${quoteIdentifier(facts.databaseName)}`, role };
    findings.push(missingRights(where, [rightOf('TEMPORARY')], grant));
  }
  if (isSource && !facts.mayReadControl) {
    const grant = { on: 'function pg_control_system()', role };
    findings.push(missingRights(where, [rightOf('EXECUTE')], grant));
  }
  if (isTarget && facts.laneTable !== 'usable') findings.push(findLaneTable(where, facts));
  if (isTarget && !facts.mayBeReplica) {
    findings.push(
      note(
        'info',
        'no-replica-role',
        where,
        'the role may not set session_replication_role: foreign keys are enforced and user triggers fire for replicated rows',
        `To switch both off for replicated rows, on Postgres 15 or newer: grant set on parameter session_replication_role to ${quoteIdentifier(role)}; on RDS and Aurora: grant rds_superuser to it.`,
      ),
    );
  }
  if (isSource) findings.push(...findPrepared(database, facts, wake));
  if (isSource && facts.replicaByDefault.length > 0) {
    findings.push(
      note(
        'warning',
        'replica-role-by-default',
        where,
        `session_replication_role is replica by default for ${facts.replicaByDefault.join(', ')}: triggers do not fire for what they write, so it is not captured`,
        'Reset it (`alter role … reset session_replication_role`), or set it only in the sessions that need it.',
      ),
    );
  }
  if (isSource && facts.synchronousCommit === 'off') {
    findings.push(
      note(
        'info',
        'commits-not-durable',
        where,
        'synchronous_commit is off: a crash of the server can lose its last commits, which may have reached targets already',
        'Set synchronous_commit to on, or accept it: rows that differ then become equal when they change again.',
      ),
    );
  }
  if (isSource && facts.encoding === 'SQL_ASCII') {
    findings.push(
      note(
        'warning',
        'encoding',
        where,
        'the encoding is SQL_ASCII, which checks nothing: bytes that are no text elsewhere will be refused there',
        'Convert the database to UTF8, or keep such bytes in bytea columns.',
      ),
    );
  }
  return findings;
}

/** Older ones have been forgotten by whoever prepared them. */
const FORGOTTEN_SECONDS = 3_600;

function findPrepared(
  database: string,
  { preparable, prepared }: ServerFacts,
  wake: Wake,
): readonly Finding[] {
  const findings: Finding[] = [];
  const setting = `max_prepared_transactions is ${preparable}`;
  if (preparable > 0 && wake === 'notify') {
    findings.push(
      note(
        'warning',
        'two-phase-commit',
        { database },
        `${setting}, and with wake: 'notify' Postgres refuses PREPARE TRANSACTION after a captured change`,
        "Take `wake: 'notify'` out unless no application uses PREPARE TRANSACTION, and run `bucardo apply`.",
      ),
    );
  }
  if (preparable > 0 && wake === 'auto') {
    findings.push(
      note(
        'info',
        'two-phase-commit',
        { database },
        `${setting}, so applications may use two-phase commit: changes are not notified, the notifier looks for them at short intervals`,
        "If none does, set it to 0 or say `wake: 'notify'`: changes then wake the notifier at once.",
      ),
    );
  }
  if (prepared.count > 0 && prepared.oldestSeconds > FORGOTTEN_SECONDS) {
    const hours = Math.floor(prepared.oldestSeconds / 3_600);
    findings.push(
      note(
        'warning',
        'two-phase-commit',
        { database },
        `${prepared.count} prepared transactions are not ended, the oldest for ${hours} hours: their own changes wait, and VACUUM keeps what they may still see`,
        'See pg_prepared_xacts; end them by COMMIT PREPARED or ROLLBACK PREPARED.',
      ),
    );
  }
  return findings;
}

function describeServer({ version, role, databaseName, tls, local, encoding, clock }: ServerFacts): string {
  const way = tls ? 'over TLS' : local ? 'on this machine, without TLS' : 'without TLS';
  return `Postgres ${versionText(version)}, database ${databaseName} as ${role}, ${way}, ${encoding}, clock ${clockText(clock)}`;
}

/** 150018 is 15.18. */
function versionText(version: number): string {
  return `${Math.floor(version / 10_000)}.${version % 10_000}`;
}

function clockText({ aheadSeconds, uncertainSeconds }: Clock): string {
  const sign = aheadSeconds < 0 ? '-' : '+';
  return `${sign}${Math.abs(aheadSeconds).toFixed(3)} s (± ${uncertainSeconds.toFixed(3)} s) from here`;
}

export interface ServerPair {
  readonly sync: string;
  readonly source: { readonly name: string; readonly facts: ServerFacts };
  readonly target: { readonly name: string; readonly facts: ServerFacts };
}

/** What differs between the two ends of a lane. */
export function findServerPair({ sync, source, target }: ServerPair): readonly Finding[] {
  const where = { sync, database: target.name };
  const findings: Finding[] = [];
  if (source.facts.identity === target.facts.identity) {
    findings.push(
      note(
        'error',
        'same-database',
        where,
        `this is the very database that ${source.name} is`,
        'Correct one of the two URLs.',
      ),
    );
  }
  const difference = target.facts.clock.aheadSeconds - source.facts.clock.aheadSeconds;
  const certain =
    Math.abs(difference) - target.facts.clock.uncertainSeconds - source.facts.clock.uncertainSeconds;
  if (certain >= CLOCK_LIMIT_SECONDS) {
    const order = difference > 0 ? 'ahead of' : 'behind';
    findings.push(
      note(
        'warning',
        'clock-difference',
        where,
        `the clock is ${Math.abs(difference).toFixed(1)} s ${order} that of ${source.name}`,
        'Let both servers keep their time by NTP.',
      ),
    );
  }
  const [from, to] = [source.facts.encoding, target.facts.encoding];
  if (from !== to && to !== 'UTF8' && from !== 'SQL_ASCII') {
    findings.push(
      note(
        'warning',
        'encoding',
        where,
        `the encoding is ${to}, that of ${source.name} is ${from}: rows with characters that ${to} lacks are refused`,
        'Use a target database with encoding UTF8.',
      ),
    );
  }
  return findings;
}

/** `apply` makes the table where the role may. */
function findLaneTable(where: Where, { role, laneTable, mayCreateLaneTable }: ServerFacts): Finding {
  if (laneTable === 'absent' && mayCreateLaneTable) {
    return note('info', 'lane-table', where, 'the table bucardo.lane is missing; `bucardo apply` makes it');
  }
  return note(
    'warning',
    'lane-table',
    where,
    `the role cannot use the table bucardo.lane: ${WITHOUT_LANE_TABLE}`,
    `Run as a role that may: ${laneTableScript(role)}`,
  );
}
