/** One alarm as the fleet's all are: linked to the runbook, told when it begins and when it ends. */
import { Alarm, ComparisonOperator, type IMetric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

export interface AlarmOptions {
  readonly metric: IMetric;
  readonly meaning: string;
  /** The runbook's paragraph. */
  readonly paragraph: string;
  readonly threshold: number;
  /** Default: at the threshold or above it. */
  readonly comparison?: ComparisonOperator;
  /** In so many minutes. */
  readonly minutes: number;
  /** Out of so many. Default: in each of them. */
  readonly ofMinutes?: number;
  /** Default: what is not measured is well. */
  readonly missing?: TreatMissingData;
}

/** Where alarms go, and where people read what to do. */
export interface AlarmPlaces {
  readonly topic: ITopic;
  readonly runbookUrl: string;
}

export function addAlarm(scope: Construct, id: string, options: AlarmOptions & AlarmPlaces): Alarm {
  const { metric, meaning, paragraph, threshold, minutes, topic, runbookUrl } = options;
  const alarm = new Alarm(scope, id, {
    metric,
    alarmDescription: `${meaning} ${runbookUrl}#${paragraph}`,
    threshold,
    comparisonOperator: options.comparison ?? ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    evaluationPeriods: options.ofMinutes ?? minutes,
    datapointsToAlarm: minutes,
    treatMissingData: options.missing ?? TreatMissingData.NOT_BREACHING,
  });
  const action = new SnsAction(topic);
  alarm.addAlarmAction(action);
  alarm.addOkAction(action);
  return alarm;
}
