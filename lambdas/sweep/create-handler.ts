/**
 * The sweep function: asks every source which lanes are due or left behind, kicks them, then purges what all
 * destinations have. Sources are swept side by side and independently: one that cannot be reached delays no other.
 * Nothing is remembered between sweeps.
 */
import { lanesOf, sourcesOf } from '../../shared/config/lanes.ts';
import type { Database, Fleet, Lane } from '../../shared/config/types.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import type { Kick } from '../../shared/queue/kick.ts';
import type { KickSender } from '../../shared/queue/kick-queue.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import type { LaneMeasurement, Metrics } from '../../shared/telemetry/metrics.ts';
import { type LaneSituation, planSweep } from './plan-sweep.ts';
import { type LaneRow, readLanes, readWaiting, type Waiting } from './read-lanes.ts';

export interface SweepHandlerOptions {
  readonly fleet: Fleet;
  readonly resolveUrl: (database: Database) => Promise<string>;
  readonly queue: KickSender;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'sweep'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Looks whether changes of one source may have been missed, and asks for copies. */
  readonly watch: (source: Connection) => Promise<unknown>;
  /** Deletes the deltas of one source that every destination has. */
  readonly purge: (source: Connection, deadlineMs: number) => Promise<{ readonly failed: number }>;
  /** Seconds between two sweeps; changes that wait longer were missed. Default 60. */
  readonly intervalSeconds?: number;
  /** How long others have to kick what a schedule says, before the sweep does. Default 0: nobody else does. */
  readonly scheduleGraceSeconds?: number;
}

export interface SweepReport {
  readonly kicked: readonly Kick[];
  /** Sources that could not be swept. */
  readonly failed: readonly string[];
}

/** The schedule's shortest interval, EventBridge's own. */
const SWEEP_INTERVAL_SECONDS = 60;

/** A source too slow for this is left to the next sweep. */
const STATEMENT_TIMEOUT_SECONDS = 20;

/** Purge has the lock that `apply` waits for, and the next sweep goes on with what is left. */
const PURGE_MS = 20_000;

/** What a sweep needs for a statement that is under way and its own end when it stops purging. */
const END_MS = 10_000;

/** What is built is given AWS's context, absent where nothing limits a sweep's time. */
export function createSweepHandler(
  options: SweepHandlerOptions,
): (event?: unknown, context?: { getRemainingTimeInMillis(): number }) => Promise<SweepReport> {
  const { fleet, resolveUrl, queue, log, metrics, now, watch, purge } = options;
  const intervalSeconds = options.intervalSeconds ?? SWEEP_INTERVAL_SECONDS;

  /** Kicks what it can decide at once before it looks into delta tables, which may take longer. */
  async function sweepSource(
    source: Connection,
    name: string,
    kicked: Kick[],
    measured: LaneMeasurement[],
    deadlineMs: number,
  ): Promise<number> {
    await source.configure({ statement_timeout: `${STATEMENT_TIMEOUT_SECONDS}s` });
    const situations = [...situationsOf(fleet, name, await readLanes(source), log)];
    const decided = situations.map(({ situation, row }) => ({
      lane: situation.lane,
      row,
      decision: planSweep(situation, now(), options.scheduleGraceSeconds),
    }));
    await send(
      decided.flatMap(({ lane, decision }) =>
        decision.action === 'kick' ? [{ lane: lane.id, reason: decision.reason }] : [],
      ),
      kicked,
    );
    const missed: Kick[] = [];
    for (const { lane, row, decision } of decided) {
      const waiting = await readWaiting(source, row);
      measured.push(measure(lane, row, waiting));
      if (decision.action === 'look' && waiting.unheldSeconds > intervalSeconds)
        missed.push({ lane: lane.id, reason: 'sweep' });
    }
    await send(missed, kicked);
    await watch(source);
    const { failed } = await purge(source, Math.min(deadlineMs, now() + PURGE_MS));
    return failed;
  }

  function measure(
    { id, sync, destination }: Lane,
    { rejectedRows, copiesNeeded }: LaneRow,
    { lagSeconds }: Waiting,
  ): LaneMeasurement {
    // Lanes that are level and whole would only fill the log.
    if (lagSeconds > 0 || rejectedRows > 0)
      log('info', 'sweep.lane.measured', { lane: id, sync, destination, lagSeconds, rejectedRows });
    const ownAlarm = fleet.syncs.get(sync)?.lagAlarmSeconds !== undefined;
    return { sync, destination, lagSeconds, rejectedRows, copiesNeeded, ownAlarm };
  }

  async function send(kicks: readonly Kick[], kicked: Kick[]): Promise<void> {
    if (kicks.length === 0) return;
    await queue.send(kicks);
    kicked.push(...kicks);
    for (const { lane, reason } of kicks) log('info', 'sweep.lane.kicked', { lane, reason });
  }

  return async (_event, context) => {
    const leftMs = context?.getRemainingTimeInMillis() ?? Number.POSITIVE_INFINITY;
    const deadlineMs = now() + leftMs - END_MS;
    let purgeFailures = 0;
    const kicked: Kick[] = [];
    const failed: string[] = [];
    const measured: LaneMeasurement[] = [];
    await Promise.all(
      sourcesOf(fleet).map(async (name) => {
        try {
          const url = await resolveUrl(databaseOf(fleet, name));
          const failures = await withConnection({ database: name, url, purpose: 'sweep' }, (source) =>
            sweepSource(source, name, kicked, measured, deadlineMs),
          );
          purgeFailures += failures;
        } catch (error) {
          failed.push(name);
          log('error', 'sweep.source.failed', { ...errorFields(error), database: name });
        }
      }),
    );
    metrics.sweep({ lanes: measured, sourcesFailed: failed.length, purgeFailures });
    log('info', 'sweep.completed', { kicked: kicked.length, failed: failed.length });
    return { kicked, failed };
  };
}

/** The configured lanes of a source, with what it knows about them. Lanes that it does not know cannot run yet. */
function* situationsOf(
  fleet: Fleet,
  source: string,
  rows: readonly LaneRow[],
  log: Log,
): Generator<{ readonly situation: LaneSituation; readonly row: LaneRow }> {
  const known = new Map(rows.map((row) => [`${row.sync}/${row.destination}`, row]));
  for (const lane of lanesOf(fleet)) {
    if (lane.source !== source) continue;
    const row = known.get(lane.id);
    const sync = fleet.syncs.get(lane.sync);
    if (row === undefined || sync === undefined) {
      log('warn', 'sweep.lane.unregistered', { sync: lane.sync, destination: lane.destination });
      continue;
    }
    yield {
      row,
      situation: {
        lane,
        schedule: sync.schedule,
        autokick: sync.autokick,
        runStartedSecondsAgo: row.runStartedSecondsAgo ?? undefined,
        failures: row.failures,
        retryDueForSeconds: row.retryDueForSeconds ?? undefined,
        heldDueForSeconds: row.heldDueForSeconds ?? undefined,
        copyUnfinished: row.copyUnfinished,
        paused: row.paused,
      },
    };
  }
}

function databaseOf(fleet: Fleet, name: string): Database {
  const database = fleet.databases.get(name);
  if (database === undefined) {
    throw new BucardoError('BUC-UNEXPECTED', { database: name, detail: 'not in the fleet' });
  }
  return database;
}
