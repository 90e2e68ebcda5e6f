/**
 * Runs steps that lock tables which applications write. A waiting lock request makes later writers queue behind it, so each
 * attempt waits for a moment only, gives way, and comes back later. A step is one transaction: it happens whole or not at all.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asBucardoError, BucardoError } from '../errors/bucardo-error.ts';
import type { Connection } from '../postgres/connection.ts';
import { errorFields, type Log } from '../telemetry/log.ts';
import type { PlanStep } from './plan-capture.ts';

export interface StepSettings {
  readonly log: Log;
  /** A step whose locks are not to be had for so long is given up. Default five minutes. */
  readonly giveUpAfterMs?: number;
}

/** The longest time for which writers wait behind one attempt. */
const LOCK_TIMEOUT_MS = 300;
/**
 * Autovacuum gives way to whoever has waited for deadlock_timeout (1 s by default), so an attempt now and then waits longer. Not
 * among the first, which are enough for everything short.
 */
const PATIENT_LOCK_TIMEOUT_MS = 1_500;
const PATIENT_EVERY = 8;
const LEAST_PAUSE_MS = 100;
const GREATEST_PAUSE_MS = 2_000;

/**
 * @param attempt from 1
 * @param random from 0 up to 1
 * @returns how long to stay away after a failed attempt: grows to two seconds, spread so that several callers part
 */
export function pauseMs(attempt: number, random: number): number {
  const longest = Math.min(GREATEST_PAUSE_MS, LEAST_PAUSE_MS * 2 ** attempt);
  return Math.round(LEAST_PAUSE_MS + (longest - LEAST_PAUSE_MS) * random);
}

export function lockTimeoutMs(attempt: number): number {
  return attempt % PATIENT_EVERY === 0 ? PATIENT_LOCK_TIMEOUT_MS : LOCK_TIMEOUT_MS;
}

/** @throws BUC-DB-LOCKED after `giveUpAfterMs`; anything else at once, with the step's relation */
async function runStep(db: Connection, step: PlanStep, settings: StepSettings): Promise<void> {
  const { log, giveUpAfterMs = 300_000 } = settings;
  const startedAtMs = performance.now();
  const fields = { database: db.database, relation: step.relation, title: step.title };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const timeout = `set local lock_timeout = ${lockTimeoutMs(attempt)}`;
      await db.transaction('read committed', () => db.script([timeout, ...step.sql].join(';\n')));
      log('info', 'capture.step.completed', {
        ...fields,
        seconds: Math.round(performance.now() - startedAtMs) / 1000,
      });
      return;
    } catch (error) {
      const known = asBucardoError(error).with({ relation: step.relation });
      const spent = performance.now() - startedAtMs >= giveUpAfterMs;
      if (known.code !== 'BUC-DB-LOCKED' || spent) throw known;
      log('info', 'capture.step.waiting', { ...fields, attempt });
      await sleep(pauseMs(attempt, Math.random()));
    }
  }
}

/**
 * Runs all steps in order. One that fails does not keep the others from being done, but those that need its syncs complete
 * are left for the next time.
 *
 * @throws the first failure, saying how many more there were
 */
export async function runSteps(
  db: Connection,
  steps: readonly PlanStep[],
  settings: StepSettings,
): Promise<void> {
  const failures: BucardoError[] = [];
  const incomplete = new Set<string>();
  for (const step of steps) {
    const registers = step.relation === undefined;
    if (registers && step.syncs.some((sync) => incomplete.has(sync))) continue;
    try {
      await runStep(db, step, settings);
    } catch (error) {
      const failure = asBucardoError(error);
      settings.log('error', 'capture.step.failed', { title: step.title, ...errorFields(failure) });
      // Without the control schema, or without a connection, nothing else can succeed.
      if (registers || failure.code === 'BUC-DB-UNREACHABLE') throw failure;
      failures.push(failure);
      for (const sync of step.syncs) incomplete.add(sync);
    }
  }
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first;
  throw new BucardoError(first.code, {
    ...first.concern,
    detail: `${first.detail ?? first.message}; ${failures.length - 1} more steps failed`,
    cause: first,
  });
}
