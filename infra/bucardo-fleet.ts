/**
 * A whole fleet as one construct: queues, functions, schedules, notifier, alarms, dashboard and rights, all from bucardo.config.ts.
 * Nothing in it has a fixed account, region or name, so that any number of fleets fit beside each other.
 */
import { resolve } from 'node:path';
import { RemovalPolicy } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { StackOutput } from '../shared/config/stack-outputs.ts';
import type { Fleet } from '../shared/config/types.ts';
import { ApplyOnDeploy } from './apply-on-deploy.ts';
import { acknowledge } from './acknowledged.ts';
import { FleetAlarms } from './alarms.ts';
import { FleetDashboard } from './dashboard.ts';
import { grantDatabases, refuseVariables } from './database-rights.ts';
import { FleetFunctions } from './fleet-functions.ts';
import { KickQueue } from './kick-queue.ts';
import { FleetNetwork } from './network.ts';
import { NotifierService } from './notifier.ts';
import { readConfig } from './read-config.ts';
import { Schedules } from './schedules.ts';

export interface BucardoFleetProps {
  /** Path of bucardo.config.ts, relative to the current folder. */
  readonly configFile: string;
  /** In place of the name in the configuration: for stages that share one. */
  readonly fleetName?: string;
  /** Where the runbook is read; alarms link to its paragraphs. */
  readonly runbookUrl?: string;
}

const RUNBOOK = 'https://github.com/bucardo/bucardo-serverless/blob/main/docs/runbook.md';

export class BucardoFleet extends Construct {
  readonly fleet: Fleet;
  readonly queue: KickQueue;
  readonly functions: FleetFunctions;
  readonly notifier: NotifierService | undefined;
  readonly alarmTopic: ITopic;
  /** What the command line finds a deployed fleet by. */
  readonly outputs: Readonly<Record<StackOutput, string>>;

  constructor(scope: Construct, id: string, props: BucardoFleetProps) {
    super(scope, id);
    const configFile = resolve(props.configFile);
    const read = readConfig(configFile);
    const fleet = { ...read, name: props.fleetName ?? read.name };
    const { aws } = fleet;
    const logRetention = aws.logRetentionDays;
    const encryptionKey =
      aws.kmsKeyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', aws.kmsKeyArn);
    this.fleet = fleet;
    refuseVariables(this, fleet);
    acknowledge(this);

    this.queue = new KickQueue(this, 'Queue', { fleetName: fleet.name, encryptionKey });
    const network = new FleetNetwork(this, 'Network', { fleet });
    this.functions = new FleetFunctions(this, 'Functions', {
      fleet,
      configFile,
      kicks: this.queue.queue,
      deadLetters: this.queue.deadLetters,
      network: network.functionProps(),
    });
    if (aws.applyOnDeploy) {
      const { resource } = new ApplyOnDeploy(this, 'ApplyOnDeploy', {
        fleet,
        configFile,
        encryptionKey,
        network: network.functionProps(),
      });
      for (const { function: ready } of this.functions.all) ready.node.addDependency(resource);
    }
    new Schedules(this, 'Schedules', {
      fleet,
      kick: this.functions.kick.function,
      sweep: this.functions.sweep.function,
    });
    this.notifier =
      aws.notifier === 'none'
        ? undefined
        : new NotifierService(this, 'Notifier', {
            fleet,
            network,
            configFile,
            kickQueue: this.queue.queue,
            logRetention,
            grantDatabases: (grantee) => grantDatabases(this, fleet, 'sources', grantee),
          });

    this.alarmTopic =
      aws.alarmTopicArn === undefined
        ? this.#makeTopic(encryptionKey)
        : Topic.fromTopicArn(this, 'AlarmTopic', aws.alarmTopicArn);
    const observed = {
      fleet,
      queue: this.queue.queue,
      deadLetterQueue: this.queue.deadLetters,
      functions: {
        replicate: this.functions.replicate.function,
        sweep: this.functions.sweep.function,
        kick: this.functions.kick.function,
        deadLetter: this.functions.deadLetter.function,
        operate: this.functions.operate.function,
      },
      runbookUrl: props.runbookUrl ?? RUNBOOK,
    };
    new FleetAlarms(this, 'Alarms', {
      ...observed,
      topic: this.alarmTopic,
      ...(this.notifier === undefined ? {} : { notifierService: this.notifier.service }),
    });
    new FleetDashboard(this, 'Dashboard', { ...observed, sweepLogs: this.functions.sweep.logs });

    const { replicate, sweep, kick, deadLetter, operate } = this.functions;
    this.outputs = {
      KickQueueUrl: this.queue.queue.queueUrl,
      DeadLetterQueueUrl: this.queue.deadLetters.queueUrl,
      KickFunction: kick.function.functionName,
      OperateFunction: operate.function.functionName,
      ReplicateLogs: replicate.logs.logGroupName,
      SweepLogs: sweep.logs.logGroupName,
      KickLogs: kick.logs.logGroupName,
      DeadLetterLogs: deadLetter.logs.logGroupName,
      OperateLogs: operate.logs.logGroupName,
    };
  }

  #makeTopic(encryptionKey: ReturnType<typeof Key.fromKeyArn> | undefined): Topic {
    const topic = new Topic(this, 'AlarmTopic', {
      displayName: `Alarms of the ${this.fleet.name} fleet`,
      enforceSSL: true,
      ...(encryptionKey === undefined ? {} : { masterKey: encryptionKey }),
    });
    topic.applyRemovalPolicy(RemovalPolicy.DESTROY);
    const { alarmEmail } = this.fleet.aws;
    if (alarmEmail !== undefined) topic.addSubscription(new EmailSubscription(alarmEmail));
    return topic;
  }
}
