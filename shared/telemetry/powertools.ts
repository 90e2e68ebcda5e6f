/**
 * Log events and measurements in Lambda: JSON lines by the Powertools logger, and CloudWatch metrics in embedded metric
 * format (EMF) on standard output. The keys of an event are the same as on one's own machine.
 */
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics as Emf, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Log, LogLevel } from './log.ts';
import {
  METRIC_NAMESPACE,
  METRIC_ROWS,
  METRIC_RUN_FAILURES,
  METRIC_RUN_SECONDS,
  type Metrics,
} from './metrics.ts';

/** @param service the program's name, on every line */
export function powertoolsLog(service: string, leastLevel: LogLevel): Log {
  const logger = new Logger({ serviceName: service, logLevel: leastLevel });
  return (level, event, { message, ...fields } = {}) => {
    // Powertools wants a message on every line; events without a text of their own are named once more.
    logger[level]({ message: String(message ?? event), event, ...withoutReservedKeys(fields) });
  };
}

/** Every measurement is written at once: nothing is kept between invocations. */
export function powertoolsMetrics(fleet: string): Metrics {
  return {
    laneRun({ sync, destination, rows, seconds, failed }) {
      const emf = new Emf({ namespace: METRIC_NAMESPACE, serviceName: fleet });
      emf.addDimensions({ sync, destination });
      emf.addMetric(METRIC_ROWS, MetricUnit.Count, rows);
      emf.addMetric(METRIC_RUN_SECONDS, MetricUnit.Seconds, seconds);
      emf.addMetric(METRIC_RUN_FAILURES, MetricUnit.Count, failed ? 1 : 0);
      emf.publishStoredMetrics();
    },
  };
}

/** Keys that the logger writes itself; it would complain about them on standard output. */
const RESERVED_KEYS = new Set(['level', 'service', 'timestamp', 'sampling_rate']);

function withoutReservedKeys(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !RESERVED_KEYS.has(key)));
}
