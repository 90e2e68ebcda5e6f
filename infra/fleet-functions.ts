/** The functions of a fleet, side by side: what each may do, how long, with how much memory, and why. */
import { Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { FunctionOptions } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { maximumConcurrency } from '../shared/config/concurrency.ts';
import type { Fleet } from '../shared/config/types.ts';
import { KICK_BATCH_SIZE, REPLICATE_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS } from '../shared/queue/names.ts';
import { type DatabaseUse, grantDatabases } from './database-rights.ts';
import { FleetFunction } from './fleet-function.ts';

export interface FleetFunctionsProps {
  readonly fleet: Fleet;
  readonly configFile: string;
  readonly kicks: Queue;
  readonly deadLetters: Queue;
  readonly network: Pick<FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'>;
}

/**
 * A run holds 95 to 115 MiB, under sustained load 205 MiB (docs/performance.md). Lambda gives processor time by memory: with
 * 512 MiB three tenths of a processor, which the many short runs need more than the room.
 */
const REPLICATE_MEMORY_MIB = 512;

/** The other programs hold under 100 MiB and mostly wait for databases. */
const SHORT_MEMORY_MIB = 256;

/** Longer than anybody waits for a lane at a terminal; the lane goes on without. */
const KICK_TIMEOUT_SECONDS = 900;

export class FleetFunctions extends Construct {
  readonly replicate: FleetFunction;
  readonly sweep: FleetFunction;
  readonly kick: FleetFunction;
  readonly deadLetter: FleetFunction;
  readonly operate: FleetFunction;
  readonly #props: FleetFunctionsProps;

  constructor(scope: Construct, id: string, props: FleetFunctionsProps) {
    super(scope, id);
    this.#props = props;
    const { fleet, kicks, deadLetters } = props;

    this.replicate = this.#make('Replicate', 'replicate', 'all', {
      description: `Runs the lanes of the ${fleet.name} fleet, one a kick`,
      timeoutSeconds: REPLICATE_TIMEOUT_SECONDS,
      memoryMiB: REPLICATE_MEMORY_MIB,
    });
    this.replicate.function.addEventSource(
      new SqsEventSource(kicks, {
        batchSize: KICK_BATCH_SIZE,
        reportBatchItemFailures: true,
        maxConcurrency: maximumConcurrency(fleet),
      }),
    );

    this.sweep = this.#make('Sweep', 'sweep', 'sources', {
      description: `Kicks lanes of the ${fleet.name} fleet that are due, were missed or failed; purges`,
      timeoutSeconds: SWEEP_TIMEOUT_SECONDS,
    });
    this.kick = this.#make('Kick', 'kick', 'sources', {
      description: `Kicks a sync of the ${fleet.name} fleet when asked, and waits for it if wanted`,
      timeoutSeconds: KICK_TIMEOUT_SECONDS,
    });
    this.operate = this.#make('Operate', 'operate', 'sources', {
      description: `Answers people about the ${fleet.name} fleet: status, pause, resume, redrive`,
      timeoutSeconds: SHORT_TIMEOUT_SECONDS,
    });
    this.deadLetter = this.#make('DeadLetter', 'dead-letter', 'sources', {
      description: `Records lanes of the ${fleet.name} fleet that failed too often, and tries them again`,
      timeoutSeconds: SHORT_TIMEOUT_SECONDS,
      environment: {
        BUCARDO_DEAD_LETTER_QUEUE_URL: deadLetters.queueUrl,
        ...(fleet.aws.events ? { BUCARDO_EVENTS: '1' } : {}),
      },
    });
    this.deadLetter.function.addEventSource(
      // One letter at a time, and two beside each other: a letter takes milliseconds unless its source is away.
      new SqsEventSource(deadLetters, { batchSize: 1, reportBatchItemFailures: true, maxConcurrency: 2 }),
    );
    deadLetters.grantSendMessages(this.deadLetter.function);
    if (fleet.aws.events) {
      this.deadLetter.function.addToRolePolicy(
        new PolicyStatement({
          actions: ['events:PutEvents'],
          resources: [
            Stack.of(this).formatArn({ service: 'events', resource: 'event-bus', resourceName: 'default' }),
          ],
        }),
      );
    }
    for (const { function: sender } of this.all) kicks.grantSendMessages(sender);
  }

  get all(): readonly FleetFunction[] {
    return [this.replicate, this.sweep, this.kick, this.deadLetter, this.operate];
  }

  #make(
    id: string,
    program: string,
    databases: DatabaseUse,
    options: {
      readonly description: string;
      readonly timeoutSeconds: number;
      readonly memoryMiB?: number;
      readonly environment?: Readonly<Record<string, string>>;
    },
  ): FleetFunction {
    const { fleet, configFile, kicks, network } = this.#props;
    const made = new FleetFunction(this, id, {
      program,
      fleet,
      configFile,
      description: options.description,
      timeout: Duration.seconds(options.timeoutSeconds),
      memoryMiB: options.memoryMiB ?? SHORT_MEMORY_MIB,
      environment: {
        BUCARDO_FLEET: fleet.name,
        BUCARDO_QUEUE_URL: kicks.queueUrl,
        ...options.environment,
      },
      // The configuration allows CloudWatch's values only.
      logRetention: fleet.aws.logRetentionDays,
      tracing: fleet.aws.tracing,
      network,
    });
    grantDatabases(this, fleet, databases, made.function);
    return made;
  }
}

/** A sweep of many sources takes seconds; one that has not ended when five others began never will. */
const SWEEP_TIMEOUT_SECONDS = 300;
