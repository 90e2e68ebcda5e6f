/** Measurements of runs, sweeps and dead letters. Programs choose where they go: log events here, CloudWatch in Lambda. */
import type { Log } from './log.ts';

export interface LaneRunMeasurement {
  readonly sync: string;
  readonly destination: string;
  readonly rows: number;
  readonly seconds: number;
  readonly failed: boolean;
}

export interface LaneMeasurement {
  readonly sync: string;
  readonly destination: string;
  /** Age of the oldest change that waits; 0 if none does. */
  readonly lagSeconds: number;
  readonly rejectedRows: number;
  /** Tables that deltas alone cannot make equal any more. */
  readonly copiesNeeded: number;
  /** Its sync wants an alarm for each of its lanes. */
  readonly ownAlarm: boolean;
}

export interface SweepMeasurement {
  readonly lanes: readonly LaneMeasurement[];
  readonly sourcesFailed: number;
  /** Relations whose purge failed, over all sources. */
  readonly purgeFailures: number;
}

export interface Metrics {
  laneRun(measurement: LaneRunMeasurement): void;
  sweep(measurement: SweepMeasurement): void;
  /** Undefined if the letter named no lane. */
  deadLetter(lane: { readonly sync: string | undefined; readonly destination: string | undefined }): void;
}

/** Measurements as events of the log, for programs without CloudWatch. */
export function logMetrics(log: Log): Metrics {
  return {
    laneRun: (measurement) => log('debug', 'lane.run.measured', { ...measurement }),
    sweep: ({ lanes, sourcesFailed, purgeFailures }) =>
      log('debug', 'sweep.measured', { lanes: lanes.length, sourcesFailed, purgeFailures }),
    deadLetter: (lane) => log('debug', 'dead-letter.measured', { ...lane }),
  };
}
