/**
 * What people are woken for. Each alarm says in a sentence what it means, and where the runbook tells what to do. No alarm has a name
 * of its own, so that fleets fit beside each other.
 *
 * What only the sweep measures keeps its alarm as it was while nothing is measured: that a lane's source is away, or that no sweep
 * succeeds, has an alarm of its own, and does not mean that the lane is well.
 */
import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  MathExpression,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { FargateService } from 'aws-cdk-lib/aws-ecs';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Fleet } from '../shared/config/types.ts';
import { REPLICATE_TIMEOUT_SECONDS } from '../shared/queue/names.ts';
import {
  METRIC_COPIES_NEEDED,
  METRIC_LAG,
  METRIC_NAMESPACE,
  METRIC_PURGE_FAILURES,
  METRIC_REJECTED_ROWS,
  METRIC_SOURCES_FAILED,
} from '../shared/telemetry/metric-names.ts';
import { addAlarm, type AlarmOptions } from './add-alarm.ts';
import { LAG_MINUTES, LaneAlarms } from './lane-alarms.ts';

export interface FleetFunctionsByName {
  readonly replicate: IFunction;
  readonly sweep: IFunction;
  readonly kick: IFunction;
  readonly deadLetter: IFunction;
  readonly operate: IFunction;
}

export interface FleetAlarmsProps {
  readonly fleet: Fleet;
  readonly queue: IQueue;
  readonly deadLetterQueue: IQueue;
  readonly functions: FleetFunctionsByName;
  readonly notifierService?: FargateService;
  readonly topic: ITopic;
  /** The runbook's page; alarms link to its paragraphs. */
  readonly runbookUrl: string;
}

/** The notifier needs seconds to start, a deployment a minute or two: an alarm after that is one. */
const NOTIFIER_MINUTES = 5;

/**
 * As long as a kick is in the queue when all is well: it waits for a run of its lane that began just before, then for its own. A kick
 * that fails is a dead letter before that, after 18 minutes.
 */
const OLDEST_KICK_SECONDS = 2 * REPLICATE_TIMEOUT_SECONDS;

/**
 * A single error mends itself, and a person's mistake ends the kick or operate function with one. A scheduled kick that fails is invoked
 * two times more within three minutes, a lane's kick comes back within a minute, and the sweep is invoked every minute.
 */
const FUNCTION_TROUBLE = { threshold: 1, minutes: 3, ofMinutes: 15 };

/** EventBridge begins a sweep each minute; one that was slow or failed is made up for by the next. */
const SWEEP_MINUTES = 5;

const MINUTE = Duration.minutes(1);

export class FleetAlarms extends Construct {
  constructor(scope: Construct, id: string, props: FleetAlarmsProps) {
    super(scope, id);
    const { fleet, queue, deadLetterQueue, functions, notifierService, topic, runbookUrl } = props;
    const alarm = (name: string, options: AlarmOptions): Alarm =>
      addAlarm(this, name, { ...options, topic, runbookUrl });
    const own = (metricName: string, statistic: string): Metric =>
      new Metric({
        namespace: METRIC_NAMESPACE,
        metricName,
        dimensionsMap: { service: fleet.name },
        statistic,
        period: MINUTE,
      });

    alarm('DeadLetters', {
      // A letter is hidden until its next try, so those in flight count too.
      metric: new MathExpression({
        expression: 'visible + hidden',
        usingMetrics: {
          visible: deadLetterQueue.metricApproximateNumberOfMessagesVisible({
            statistic: Stats.MAXIMUM,
            period: MINUTE,
          }),
          hidden: deadLetterQueue.metricApproximateNumberOfMessagesNotVisible({
            statistic: Stats.MAXIMUM,
            period: MINUTE,
          }),
        },
        label: 'dead letters',
        period: MINUTE,
      }),
      meaning: 'A lane has failed for a quarter of an hour and more; it is tried again by itself.',
      paragraph: 'dead-letters',
      threshold: 1,
      minutes: 1,
    });
    alarm('OldestKick', {
      metric: queue.metricApproximateAgeOfOldestMessage({ statistic: Stats.MAXIMUM, period: MINUTE }),
      meaning: 'Kicks wait in the queue and are not taken.',
      paragraph: 'oldest-kick',
      threshold: OLDEST_KICK_SECONDS,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      minutes: 5,
    });
    alarm('Lag', {
      metric: own(METRIC_LAG, Stats.MAXIMUM),
      meaning: `A lane is more than ${fleet.aws.lagAlarmSeconds} seconds behind its source.`,
      paragraph: 'lag',
      threshold: fleet.aws.lagAlarmSeconds,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      minutes: LAG_MINUTES,
      missing: TreatMissingData.IGNORE,
    });
    alarm('RejectedRows', {
      metric: own(METRIC_REJECTED_ROWS, Stats.MAXIMUM),
      meaning: 'A destination refused rows; they are parked, and missing there.',
      paragraph: 'rejected-rows',
      threshold: 1,
      minutes: 1,
      missing: TreatMissingData.IGNORE,
    });
    alarm('CopiesNeeded', {
      metric: own(METRIC_COPIES_NEEDED, Stats.MAXIMUM),
      meaning: 'A target may differ from its source until a table is copied.',
      paragraph: 'copies-needed',
      threshold: 1,
      minutes: 1,
      missing: TreatMissingData.IGNORE,
    });
    alarm('PurgeFailures', {
      metric: own(METRIC_PURGE_FAILURES, Stats.MAXIMUM),
      meaning: 'Changes that all targets have cannot be deleted from a source: its delta tables grow.',
      paragraph: 'purge-failures',
      threshold: 1,
      minutes: 15,
      missing: TreatMissingData.IGNORE,
    });
    alarm('SourcesFailed', {
      metric: own(METRIC_SOURCES_FAILED, Stats.MAXIMUM),
      meaning: 'The sweep cannot look at a source.',
      paragraph: 'sources-failed',
      threshold: 1,
      minutes: 5,
      missing: TreatMissingData.IGNORE,
    });
    alarm('SweepNotSucceeding', {
      metric: new MathExpression({
        expression: 'invocations - errors',
        usingMetrics: {
          invocations: functions.sweep.metricInvocations({ period: MINUTE }),
          errors: functions.sweep.metricErrors({ period: MINUTE }),
        },
        label: 'sweeps that succeeded',
        period: MINUTE,
      }),
      meaning: 'No sweep has succeeded for five minutes: schedules, retries and lag are not looked at.',
      paragraph: 'sweep-not-succeeding',
      threshold: 1,
      comparison: ComparisonOperator.LESS_THAN_THRESHOLD,
      minutes: SWEEP_MINUTES,
      missing: TreatMissingData.BREACHING,
    });
    if (notifierService !== undefined) {
      alarm('NotifierNotRunning', {
        // Every running task reports its use of the processor; counting the reports needs no Container Insights, which cost.
        metric: notifierService.metricCpuUtilization({ statistic: Stats.SAMPLE_COUNT, period: MINUTE }),
        meaning: 'No notifier is running: changes wait for the next sweep.',
        paragraph: 'notifier-not-running',
        threshold: 1,
        comparison: ComparisonOperator.LESS_THAN_THRESHOLD,
        minutes: NOTIFIER_MINUTES,
        missing: TreatMissingData.BREACHING,
      });
    }
    for (const [name, of] of Object.entries(functions) as [string, IFunction][]) {
      const Name = `${name[0]?.toUpperCase() ?? ''}${name.slice(1)}`;
      alarm(`${Name}Errors`, {
        metric: of.metricErrors({ period: MINUTE }),
        meaning: `The ${name} function ended without an answer: it threw, ran out of memory or of time.`,
        paragraph: 'function-errors',
        ...FUNCTION_TROUBLE,
      });
      alarm(`${Name}Throttles`, {
        metric: of.metricThrottles({ period: MINUTE }),
        meaning: `AWS ran fewer of the ${name} function than were asked for.`,
        paragraph: 'function-throttles',
        ...FUNCTION_TROUBLE,
      });
    }
    new LaneAlarms(this, 'Lanes', { fleet, topic, runbookUrl });
  }
}
