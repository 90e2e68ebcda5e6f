/** An alarm for each lane of the syncs that ask for it. CloudFormation allows a stack 500 resources, so many get stacks of their own. */
import { Duration, NestedStack } from 'aws-cdk-lib';
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { lanesOfSync } from '../shared/config/lanes.ts';
import type { Fleet } from '../shared/config/types.ts';
import { METRIC_LANE_LAG, METRIC_NAMESPACE } from '../shared/telemetry/metric-names.ts';
import { addAlarm } from './add-alarm.ts';

export interface LaneAlarmsProps {
  readonly fleet: Fleet;
  readonly topic: ITopic;
  readonly runbookUrl: string;
}

/** Up to so many the alarms are in the fleet's own stack. */
const FEW = 100;

const PER_STACK = 200;

export class LaneAlarms extends Construct {
  constructor(scope: Construct, id: string, { fleet, topic, runbookUrl }: LaneAlarmsProps) {
    super(scope, id);
    const wanted = [...fleet.syncs.values()].flatMap((sync) =>
      sync.lagAlarmSeconds === undefined
        ? []
        : lanesOfSync(sync).map((lane) => ({ lane, seconds: sync.lagAlarmSeconds ?? 0 })),
    );
    for (const [index, { lane, seconds }] of wanted.entries()) {
      addAlarm(this.#place(wanted.length, index), `${lane.sync}To${lane.destination}`, {
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
        minutes: 3,
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
