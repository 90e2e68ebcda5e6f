/** One page that shows whether the fleet is well, what it does, and about what it costs. */
import { Aws, Duration } from 'aws-cdk-lib';
import {
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  LogQueryVisualizationType,
  LogQueryWidget,
  MathExpression,
  Metric,
  type MetricOptions,
  PeriodOverride,
  Stats,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { CfnFunction, type IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Fleet } from '../shared/config/types.ts';
import {
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
} from '../shared/telemetry/metric-names.ts';
import type { FleetFunctionsByName } from './alarms.ts';
import { lanesWithAlarm } from './lane-alarms.ts';

export interface FleetDashboardProps {
  readonly fleet: Fleet;
  readonly queue: IQueue;
  readonly deadLetterQueue: IQueue;
  readonly functions: FleetFunctionsByName;
  /** The sweep says there which lanes are behind. */
  readonly sweepLogs: ILogGroup;
  readonly runbookUrl: string;
}

/**
 * Millionths of a dollar, list prices of us-east-1 in November 2026 without the free tier: a Lambda request, its GB-seconds on arm64, a
 * request to SQS FIFO.
 */
const MILLIONTHS_PER_INVOCATION = 0.2;
const MILLIONTHS_PER_GIB_SECOND = 13.3334;
const MILLIONTHS_PER_QUEUE_REQUEST = 0.5;

/** What Lambda gives a function that says nothing. */
const DEFAULT_MEMORY_MIB = 128;

const PERIOD = Duration.minutes(1);
const HALF_WIDTH = 12;

export class FleetDashboard extends Construct {
  constructor(scope: Construct, id: string, props: FleetDashboardProps) {
    super(scope, id);
    const { fleet, queue, deadLetterQueue, functions, sweepLogs, runbookUrl } = props;
    const own = (metricName: string, statistic: string, label: string): Metric =>
      new Metric({
        namespace: METRIC_NAMESPACE,
        metricName,
        dimensionsMap: { service: fleet.name },
        statistic,
        label,
        period: PERIOD,
      });
    const all = Object.entries(functions);
    const ofEach = (metric: (of: IFunction, options: MetricOptions) => Metric): Metric[] =>
      all.map(([name, of]) => metric(of, { label: name, period: PERIOD }));
    new Dashboard(this, 'Page', {
      // Points as wide as the time shown needs them; what is said to be per minute or per hour is calculated by their width.
      periodOverride: PeriodOverride.AUTO,
      widgets: [
        [
          new TextWidget({
            markdown: `# Fleet ${fleet.name}\nWhat to do about an alarm: [runbook](${runbookUrl}).`,
            width: 24,
            height: 2,
          }),
        ],
        [
          graph('Lag of the lane that is furthest behind (s)', [own(METRIC_LAG, Stats.MAXIMUM, 'lag')]),
          // A table: Logs Insights draws no lines by time and lane.
          new LogQueryWidget({
            title: 'Lag by lane',
            logGroupNames: [sweepLogs.logGroupName],
            view: LogQueryVisualizationType.TABLE,
            queryLines: [
              "filter event = 'sweep.lane.measured'",
              'stats max(lagSeconds) as greatestLagSeconds, latest(lagSeconds) as lastLagSeconds, latest(rejectedRows) as rejected, max(@timestamp) as lastBehind by lane',
              'sort greatestLagSeconds desc',
              'limit 100',
            ],
            width: HALF_WIDTH,
            height: 6,
          }),
        ],
        ...(lanesWithAlarm(fleet).length === 0
          ? []
          : [[graph('Lag of the lanes with alarms of their own (s)', [lagOfLanes(fleet)], 2 * HALF_WIDTH)]]),
        [
          graph('Rows a minute', [perSeconds(60, 'rows', own(METRIC_ROWS, Stats.SUM, 'rows'))]),
          graph('Seconds a run', [
            own(METRIC_RUN_SECONDS, 'p50', 'median'),
            own(METRIC_RUN_SECONDS, 'p95', '95 of 100'),
          ]),
        ],
        [
          graph('Failures', [
            own(METRIC_RUN_FAILURES, Stats.SUM, 'runs that failed'),
            own(METRIC_REJECTED_ROWS, Stats.MAXIMUM, 'rejected rows'),
            own(METRIC_COPIES_NEEDED, Stats.MAXIMUM, 'tables that need a copy'),
            own(METRIC_PURGE_FAILURES, Stats.MAXIMUM, 'tables that could not be purged'),
            own(METRIC_SOURCES_FAILED, Stats.MAXIMUM, 'sources that could not be swept'),
          ]),
          graph('Dead letters', [
            deadLetterQueue.metricApproximateNumberOfMessagesVisible({ label: 'due', period: PERIOD }),
            deadLetterQueue.metricApproximateNumberOfMessagesNotVisible({ label: 'waiting', period: PERIOD }),
          ]),
        ],
        [
          graph('Queue of kicks', [
            queue.metricApproximateNumberOfMessagesVisible({ label: 'waiting', period: PERIOD }),
            queue.metricApproximateNumberOfMessagesNotVisible({
              label: 'at work or waiting for a retry',
              period: PERIOD,
            }),
          ]),
          graph('Age of the oldest kick (s)', [
            queue.metricApproximateAgeOfOldestMessage({ label: 'age', period: PERIOD }),
          ]),
        ],
        [
          graph(
            'Errors of functions',
            ofEach((of, options) => of.metricErrors(options)),
          ),
          graph(
            'Throttles of functions',
            ofEach((of, options) => of.metricThrottles(options)),
          ),
        ],
        [
          graph(
            'Duration of functions, 95 of 100 (ms)',
            ofEach((of, options) => of.metricDuration({ ...options, statistic: 'p95' })),
          ),
          graph(
            'Functions that run at the same time',
            ofEach((of, options) =>
              of.metric('ConcurrentExecutions', { ...options, statistic: Stats.MAXIMUM }),
            ),
          ),
        ],
        [
          graph('Estimated cost of functions and queues ($ an hour, list prices)', [
            costOf(Object.values(functions), [queue, deadLetterQueue]),
          ]),
        ],
      ],
    });
  }
}

function graph(title: string, left: IMetric[], width = HALF_WIDTH): IWidget {
  return new GraphWidget({ title, left, region: Aws.REGION, width, height: 6 });
}

/** Found when it is looked at, so that the page does not change with every sync. */
function lagOfLanes({ name }: Fleet): MathExpression {
  const schema = `{${METRIC_NAMESPACE},service,sync,destination}`;
  return new MathExpression({
    expression: `SEARCH('${schema} MetricName="${METRIC_LANE_LAG}" service="${name}"', 'Maximum')`,
    label: '',
    period: PERIOD,
  });
}

/** A sum over a period, by so many seconds. */
function perSeconds(seconds: number, label: string, sum: IMetric): MathExpression {
  return new MathExpression({
    expression: `total / PERIOD(total) * ${seconds}`,
    usingMetrics: { total: sum },
    label,
    period: PERIOD,
  });
}

/**
 * What grows with the work: invocations, their time by their memory, and requests to SQS but for those that keep a running kick hidden,
 * which SQS does not count. Without notifier, logs, metrics, alarms and network, which cost by the month.
 */
function costOf(functions: readonly IFunction[], queues: readonly IQueue[]): MathExpression {
  const metrics: Record<string, IMetric> = {};
  const terms: string[] = [];
  const add = (metric: IMetric, millionths: number): void => {
    const id = `m${terms.length}`;
    metrics[id] = metric;
    // Whatever did not happen is not measured.
    terms.push(`FILL(${id}, 0) * ${millionths}`);
  };
  const sum = { statistic: Stats.SUM, period: PERIOD };
  for (const of of functions) {
    add(of.metricInvocations(sum), MILLIONTHS_PER_INVOCATION);
    const perSecond = (memoryMiBOf(of) / 1024) * MILLIONTHS_PER_GIB_SECOND;
    // Durations are in milliseconds.
    add(of.metricDuration(sum), perSecond / 1000);
  }
  for (const queue of queues) {
    add(queue.metricNumberOfMessagesSent(sum), MILLIONTHS_PER_QUEUE_REQUEST);
    add(queue.metricNumberOfMessagesReceived(sum), MILLIONTHS_PER_QUEUE_REQUEST);
    add(queue.metricNumberOfMessagesDeleted(sum), MILLIONTHS_PER_QUEUE_REQUEST);
    add(queue.metricNumberOfEmptyReceives(sum), MILLIONTHS_PER_QUEUE_REQUEST);
  }
  return new MathExpression({
    expression: `(${terms.join(' + ')}) / 1000000 / PERIOD(m0) * 3600`,
    usingMetrics: metrics,
    label: '$ an hour, estimated',
    period: PERIOD,
  });
}

function memoryMiBOf({ node }: IFunction): number {
  const { defaultChild } = node;
  return (defaultChild instanceof CfnFunction ? defaultChild.memorySize : undefined) ?? DEFAULT_MEMORY_MIB;
}
