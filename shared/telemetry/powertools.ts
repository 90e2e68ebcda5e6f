/**
 * Log events and measurements in Lambda: JSON lines by the Powertools logger, and CloudWatch metrics in embedded metric
 * format (EMF) on standard output. The keys of an event are the same as on one's own machine.
 */
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics as Emf, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Log, LogLevel } from './log.ts';
import {
  METRIC_DEAD_LETTERS,
  METRIC_LAG,
  METRIC_LANE_LAG,
  METRIC_NAMESPACE,
  METRIC_REJECTED_ROWS,
  METRIC_ROWS,
  METRIC_RUN_FAILURES,
  METRIC_RUN_SECONDS,
  METRIC_COPIES_NEEDED,
  METRIC_PURGE_FAILURES,
  METRIC_SOURCES_FAILED,
} from './metric-names.ts';
import type { Metrics } from './metrics.ts';

/** @param service the program's name, on every line */
export function powertoolsLog(service: string, leastLevel: LogLevel): Log {
  const logger = new Logger({ serviceName: service, logLevel: leastLevel });
  return (level, event, { message, ...fields } = {}) => {
    // Powertools wants a message on every line; events without a text of their own are named once more.
    logger[level]({ message: String(message ?? event), event, ...withoutReservedKeys(fields) });
  };
}

/**
 * Every measurement is written at once: nothing is kept between invocations. Lanes are properties of the line, which cost nothing, and
 * a dimension only where an alarm wants it: @see metric-names.ts.
 */
export function powertoolsMetrics(fleet: string): Metrics {
  const emit = (fill: (emf: Emf) => void): void => {
    const emf = new Emf({ namespace: METRIC_NAMESPACE, serviceName: fleet });
    fill(emf);
    emf.publishStoredMetrics();
  };
  return {
    laneRun({ sync, destination, rows, seconds, failed }) {
      emit((emf) => {
        emf.addMetadata('sync', sync);
        emf.addMetadata('destination', destination);
        emf.addMetric(METRIC_ROWS, MetricUnit.Count, rows);
        emf.addMetric(METRIC_RUN_SECONDS, MetricUnit.Seconds, seconds);
        emf.addMetric(METRIC_RUN_FAILURES, MetricUnit.Count, failed ? 1 : 0);
      });
    },
    sweep({ lanes, sourcesFailed, purgeFailures }) {
      emit((emf) => {
        emf.addMetric(METRIC_SOURCES_FAILED, MetricUnit.Count, sourcesFailed);
        // No source answered: no lag would read as if no lane were behind.
        if (lanes.length === 0) return;
        const lags = lanes.map(({ lagSeconds }) => lagSeconds);
        emf.addMetric(METRIC_LAG, MetricUnit.Seconds, Math.max(...lags));
        const rejected = lanes.reduce((sum, { rejectedRows }) => sum + rejectedRows, 0);
        emf.addMetric(METRIC_REJECTED_ROWS, MetricUnit.Count, rejected);
        const copies = lanes.reduce((sum, { copiesNeeded }) => sum + copiesNeeded, 0);
        emf.addMetric(METRIC_COPIES_NEEDED, MetricUnit.Count, copies);
        emf.addMetric(METRIC_PURGE_FAILURES, MetricUnit.Count, purgeFailures);
      });
      for (const { sync, destination, lagSeconds } of lanes.filter(({ ownAlarm }) => ownAlarm)) {
        emit((emf) => {
          emf.addDimensions({ sync, destination });
          emf.addMetric(METRIC_LANE_LAG, MetricUnit.Seconds, lagSeconds);
        });
      }
    },
    deadLetter({ sync, destination }) {
      emit((emf) => {
        if (sync !== undefined) emf.addMetadata('sync', sync);
        if (destination !== undefined) emf.addMetadata('destination', destination);
        emf.addMetric(METRIC_DEAD_LETTERS, MetricUnit.Count, 1);
      });
    },
  };
}

/** Keys that the logger writes itself; it would complain about them on standard output. */
const RESERVED_KEYS = new Set(['level', 'service', 'timestamp', 'sampling_rate']);

function withoutReservedKeys(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !RESERVED_KEYS.has(key)));
}
