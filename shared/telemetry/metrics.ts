/**
 * Measurements of runs. Programs choose where they go: log events here, CloudWatch by way of Powertools in Lambda.
 * Names are constants because alarms and dashboards refer to them.
 */
import type { Log } from './log.ts';

export const METRIC_NAMESPACE = 'Bucardo';

/** Rows written to or deleted at a destination. */
export const METRIC_ROWS = 'RowsReplicated';
export const METRIC_RUN_SECONDS = 'RunSeconds';
/** 1 for a run that failed, 0 for one that did not, so that the average is a rate. */
export const METRIC_RUN_FAILURES = 'RunFailures';

export interface LaneRunMeasurement {
  readonly sync: string;
  readonly destination: string;
  readonly rows: number;
  readonly seconds: number;
  readonly failed: boolean;
}

export interface Metrics {
  laneRun(measurement: LaneRunMeasurement): void;
}

/** Measurements as events of the log, for programs without CloudWatch. */
export function logMetrics(log: Log): Metrics {
  return { laneRun: (measurement) => log('debug', 'lane.run.measured', { ...measurement }) };
}
