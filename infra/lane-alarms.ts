/**
 * An alarm for each lane of the syncs that ask for it. CloudFormation allows a stack 500 resources, so many get stacks of their own,
 * filled in the order of the configuration: a sync that is added at its end moves no other alarm.
 */
import { Duration, NestedStack } from 'aws-cdk-lib';
import { ComparisonOperator, Metric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { lanesOfSync } from '../shared/config/lanes.ts';
import type { Fleet, Lane } from '../shared/config/types.ts';
import { METRIC_LANE_LAG, METRIC_NAMESPACE } from '../shared/telemetry/metric-names.ts';
import { addAlarm } from './add-alarm.ts';

export interface LaneAlarmsProps {
  readonly fleet: Fleet;
  readonly topic: ITopic;
  readonly runbookUrl: string;
}

/** Up to so many the alarms are in the fleet's own stack, which has fewer than 200 resources without them. */
const FEW = 100;

const PER_STACK = 200;

/** One slow sweep, or a run that is about to end, is nothing to wake people for. */
export const LAG_MINUTES = 3;

/** Lanes for whose syncs somebody wants to be woken, with their bounds in seconds. */
export function lanesWithAlarm(fleet: Fleet): readonly { readonly lane: Lane; readonly seconds: number }[] {
  return [...fleet.syncs.values()].flatMap((sync) => {
    const { lagAlarmSeconds: seconds } = sync;
    return seconds === undefined ? [] : lanesOfSync(sync).map((lane) => ({ lane, seconds }));
  });
}

export class LaneAlarms extends Construct {
  constructor(scope: Construct, id: string, { fleet, topic, runbookUrl }: LaneAlarmsProps) {
    super(scope, id);
    const wanted = lanesWithAlarm(fleet);
    for (const [index, { lane, seconds }] of wanted.entries()) {
      // No name of the configuration has a hyphen in it, so no two lanes have the same id.
      addAlarm(this.#place(wanted.length, index), `${lane.sync}-${lane.destination}`, {
        metric: new Metric({
          namespace: METRIC_NAMESPACE,
          metricName: METRIC_LANE_LAG,
          dimensionsMap: { service: fleet.name, sync: lane.sync, destination: lane.destination },
          statistic: Stats.MAXIMUM,
          period: Duration.minutes(1),
        }),
        meaning: `Lane ${lane.id} is more than ${seconds} seconds behind its source.`,
        paragraph: 'lag',
        threshold: seconds,
        comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
        minutes: LAG_MINUTES,
        missing: TreatMissingData.IGNORE,
        topic,
        runbookUrl,
      });
    }
  }

  #place(count: number, index: number): Construct {
    if (count <= FEW) return this;
    const id = `Alarms${Math.floor(index / PER_STACK)}`;
    const made = this.node.tryFindChild(id);
    return made instanceof NestedStack ? made : new NestedStack(this, id);
  }
}
