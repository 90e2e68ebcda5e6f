/** What CloudWatch makes of what is measured: names, dimensions (each combination of which costs), and properties of the line. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as names from '../../shared/telemetry/metric-names.ts';
import type { LogFields } from '../../shared/telemetry/log.ts';
import { logMetrics, type Metrics } from '../../shared/telemetry/metrics.ts';
import { powertoolsMetrics } from '../../shared/telemetry/powertools.ts';

interface Line extends Record<string, unknown> {
  readonly _aws: {
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
}

let lines: Line[];
let metrics: Metrics;

beforeEach(() => {
  lines = [];
  // The library writes to standard output, past the console, where Lambda collects it.
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(JSON.parse(String(text)) as Line);
    return true;
  });
  metrics = powertoolsMetrics('shop');
});

afterEach(() => {
  vi.restoreAllMocks();
});

const LEVEL = {
  sync: 'orders',
  destination: 'reports',
  lagSeconds: 0,
  rejectedRows: 0,
  copiesNeeded: 0,
  ownAlarm: false,
};
const BEHIND = {
  ...LEVEL,
  destination: 'archive',
  lagSeconds: 75.5,
  rejectedRows: 2,
  copiesNeeded: 0,
  ownAlarm: true,
};

/** Metrics with their dimensions and units, by line. */
function measured(): readonly string[] {
  return lines.flatMap(({ _aws }) =>
    _aws.CloudWatchMetrics.map(
      ({ Namespace, Dimensions, Metrics }) =>
        `${Namespace} ${JSON.stringify(Dimensions)} ${Metrics.map(({ Name, Unit }) => `${Name}:${Unit}`).join(' ')}`,
    ),
  );
}

test('a run is measured for the fleet as a whole, and names its lane as properties', () => {
  metrics.laneRun({ sync: 'orders', destination: 'reports', rows: 7, seconds: 1.5, failed: true });
  expect(measured()).toEqual([
    'Bucardo [["service"]] RowsReplicated:Count RunSeconds:Seconds RunFailures:Count',
  ]);
  expect(lines[0]).toMatchObject({
    service: 'shop',
    sync: 'orders',
    destination: 'reports',
    RowsReplicated: 7,
    RunSeconds: 1.5,
    RunFailures: 1,
  });
});

test('a sweep measures the lane that is furthest behind, all rows that are parked, and lanes that want it', () => {
  metrics.sweep({
    lanes: [LEVEL, BEHIND, { ...LEVEL, lagSeconds: 3, rejectedRows: 1, copiesNeeded: 4 }],
    sourcesFailed: 1,
    purgeFailures: 5,
  });
  expect(measured()).toEqual([
    'Bucardo [["service"]] SourcesFailed:Count LagSeconds:Seconds RejectedRows:Count CopiesNeeded:Count PurgeFailures:Count',
    'Bucardo [["service","sync","destination"]] LaneLagSeconds:Seconds',
  ]);
  expect(lines[0]).toMatchObject({
    service: 'shop',
    LagSeconds: 75.5,
    RejectedRows: 3,
    SourcesFailed: 1,
    CopiesNeeded: 4,
    PurgeFailures: 5,
  });
  expect(lines[1]).toMatchObject({
    service: 'shop',
    sync: 'orders',
    destination: 'archive',
    LaneLagSeconds: 75.5,
  });
});

test('a sweep that saw no lane does not say that none is behind', () => {
  metrics.sweep({ lanes: [], sourcesFailed: 2, purgeFailures: 0 });
  expect(measured()).toEqual(['Bucardo [["service"]] SourcesFailed:Count']);
});

test('a dead letter counts whether or not its lane is known', () => {
  metrics.deadLetter({ sync: 'orders', destination: 'reports' });
  metrics.deadLetter({ sync: undefined, destination: undefined });
  expect(measured()).toEqual([
    'Bucardo [["service"]] DeadLetters:Count',
    'Bucardo [["service"]] DeadLetters:Count',
  ]);
  expect(lines.map(({ sync }) => sync)).toEqual(['orders', undefined]);
});

test('everything that has a name is measured, and nothing else', () => {
  metrics.laneRun({ sync: 'orders', destination: 'reports', rows: 0, seconds: 0, failed: false });
  metrics.sweep({ lanes: [BEHIND], sourcesFailed: 0, purgeFailures: 0 });
  metrics.deadLetter({ sync: undefined, destination: undefined });
  const emitted = lines.flatMap(({ _aws }) =>
    _aws.CloudWatchMetrics.flatMap(({ Metrics }) => Metrics.map(({ Name }) => Name)),
  );
  const { METRIC_NAMESPACE, ...metricNames } = names;
  expect(METRIC_NAMESPACE).toBe('Bucardo');
  expect(emitted.toSorted()).toEqual(Object.values(metricNames).toSorted());
});

test('without CloudWatch measurements are events of the log, which nobody has to read', () => {
  const events: [string, string, LogFields | undefined][] = [];
  const local = logMetrics((level, event, fields) => events.push([level, event, fields]));
  local.laneRun({ sync: 'orders', destination: 'reports', rows: 7, seconds: 1, failed: false });
  local.sweep({ lanes: [LEVEL, BEHIND], sourcesFailed: 0, purgeFailures: 0 });
  local.deadLetter({ sync: 'orders', destination: 'reports' });
  expect(events).toEqual([
    [
      'debug',
      'lane.run.measured',
      { sync: 'orders', destination: 'reports', rows: 7, seconds: 1, failed: false },
    ],
    ['debug', 'sweep.measured', { lanes: 2, sourcesFailed: 0, purgeFailures: 0 }],
    ['debug', 'dead-letter.measured', { sync: 'orders', destination: 'reports' }],
  ]);
});
