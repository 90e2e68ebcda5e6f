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
  PeriodOverride,
  Stats,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Fleet } from '../shared/config/types.ts';
import {
  METRIC_LAG,
  METRIC_NAMESPACE,
  METRIC_REJECTED_ROWS,
  METRIC_ROWS,
  METRIC_RUN_FAILURES,
  METRIC_RUN_SECONDS,
} from '../shared/telemetry/metric-names.ts';
import type { FleetFunctionsByName } from './alarms.ts';

export interface FleetDashboardProps {
  readonly fleet: Fleet;
  readonly queue: IQueue;
  readonly deadLetterQueue: IQueue;
  readonly functions: FleetFunctionsByName;
  /** The sweep says there which lanes are behind. */
  readonly sweepLogs: ILogGroup;
  readonly runbookUrl: string;
}

/** List prices of us-east-1 in November 2026: a million requests, and a second of 512 MiB on arm64. */
const DOLLARS_PER_MILLION_REQUESTS = 0.2;
const DOLLARS_PER_REPLICATE_SECOND = 0.5 * 0.0000133334;
const DOLLARS_PER_MILLION_KICKS = 0.5;

/** Sending, receiving and deleting a kick, and its first sign of life. */
const REQUESTS_PER_KICK = 4;

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
    new Dashboard(this, 'Page', {
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
          new LogQueryWidget({
            title: 'Lag by lane (s)',
            logGroupNames: [sweepLogs.logGroupName],
            view: LogQueryVisualizationType.LINE,
            queryLines: [`filter event = 'sweep.lane.measured'`, 'stats max(lagSeconds) by bin(1m), lane'],
            width: HALF_WIDTH,
            height: 6,
          }),
        ],
        [
          graph('Rows a minute', [own(METRIC_ROWS, Stats.SUM, 'rows')]),
          graph('Seconds a run', [
            own(METRIC_RUN_SECONDS, 'p50', 'median'),
            own(METRIC_RUN_SECONDS, 'p95', '95 of 100'),
          ]),
        ],
        [
          graph('Failures', [
            own(METRIC_RUN_FAILURES, Stats.SUM, 'runs that failed'),
            own(METRIC_REJECTED_ROWS, Stats.MAXIMUM, 'rejected rows'),
            deadLetterQueue.metricApproximateNumberOfMessagesVisible({
              label: 'dead letters due',
              period: PERIOD,
            }),
            deadLetterQueue.metricApproximateNumberOfMessagesNotVisible({
              label: 'dead letters waiting',
              period: PERIOD,
            }),
          ]),
          graph('Queue of kicks', [
            queue.metricApproximateAgeOfOldestMessage({ label: 'age of the oldest (s)', period: PERIOD }),
            queue.metricApproximateNumberOfMessagesVisible({ label: 'waiting', period: PERIOD }),
            queue.metricApproximateNumberOfMessagesNotVisible({ label: 'at work', period: PERIOD }),
          ]),
        ],
        [
          graph(
            'Errors and throttles of functions',
            all.flatMap(([name, of]) => [
              of.metricErrors({ label: `${name} errors`, period: PERIOD }),
              of.metricThrottles({ label: `${name} throttles`, period: PERIOD }),
            ]),
          ),
          graph('Runs at the same time', [
            functions.replicate.metric('ConcurrentExecutions', { statistic: Stats.MAXIMUM, period: PERIOD }),
          ]),
        ],
        [graph('Estimated cost of running lanes ($ an hour, list prices)', [costOf(functions, queue)])],
      ],
    });
  }
}

function graph(title: string, left: IMetric[]): IWidget {
  return new GraphWidget({ title, left, region: Aws.REGION, width: HALF_WIDTH, height: 6 });
}

/** Without what costs by the month whatever happens: notifier, alarms, this page. */
function costOf({ replicate }: FleetFunctionsByName, queue: IQueue): MathExpression {
  const period = Duration.hours(1);
  const dollarsPerKick = (REQUESTS_PER_KICK * DOLLARS_PER_MILLION_KICKS) / 1e6;
  const dollarsPerRequest = DOLLARS_PER_MILLION_REQUESTS / 1e6;
  return new MathExpression({
    expression: `requests * ${dollarsPerRequest} + milliseconds / 1000 * ${DOLLARS_PER_REPLICATE_SECOND} + kicks * ${dollarsPerKick}`,
    usingMetrics: {
      requests: replicate.metricInvocations({ period }),
      milliseconds: replicate.metricDuration({ statistic: Stats.SUM, period }),
      kicks: queue.metricNumberOfMessagesSent({ period }),
    },
    label: '$ an hour',
    period,
  });
}
