/**
 * EventBridge rules: one for each distinct schedule of the configuration, which kicks the lanes of all syncs that have it, and the
 * sweep's own. Rules, because they fire on LocalStack too and cost nothing; EventBridge Scheduler's time zones are of no use here.
 */
import { createHash } from 'node:crypto';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Fleet } from '../shared/config/types.ts';

export interface SchedulesProps {
  readonly fleet: Fleet;
  readonly kick: IFunction;
  readonly sweep: IFunction;
}

/** EventBridge's shortest interval. */
const SWEEP_SCHEDULE = 'rate(1 minute)';

export class Schedules extends Construct {
  constructor(scope: Construct, id: string, { fleet, kick, sweep }: SchedulesProps) {
    super(scope, id);
    new Rule(this, 'Sweep', {
      description: `Sweep of the ${fleet.name} fleet: lanes that are due, were missed or failed, and purge`,
      schedule: Schedule.expression(SWEEP_SCHEDULE),
      // The next sweep comes by itself; an older one has nothing to add.
      targets: [new LambdaFunction(sweep, { retryAttempts: 0 })],
    });
    for (const schedule of distinctSchedules(fleet)) {
      new Rule(this, `Schedule${hashOf(schedule)}`, {
        description: `Kicks the syncs of the ${fleet.name} fleet that run at ${schedule}`,
        schedule: Schedule.expression(schedule),
        targets: [
          // What is missed for longer the sweep makes up for.
          new LambdaFunction(kick, { event: RuleTargetInput.fromObject({ schedule }), retryAttempts: 2 }),
        ],
      });
    }
  }
}

function distinctSchedules(fleet: Fleet): readonly string[] {
  return [
    ...new Set(
      [...fleet.syncs.values()].flatMap(({ schedule }) => (schedule === undefined ? [] : [schedule])),
    ),
  ];
}

/** A rule keeps its identity whatever other schedules come and go. */
function hashOf(schedule: string): string {
  return createHash('sha256').update(schedule).digest('hex').slice(0, 8);
}
