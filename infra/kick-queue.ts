/** The queue of kicks and its dead letters. Every number is explained where it is defined, in shared/queue/names.ts. */
import { Aws, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import {
  DEAD_LETTER_RETENTION_SECONDS,
  DEAD_LETTER_VISIBILITY_TIMEOUT_SECONDS,
  deadLetterQueueName,
  KICK_RETENTION_SECONDS,
  kickQueueName,
  MAX_RECEIVE_COUNT,
  RECEIVE_WAIT_SECONDS,
  VISIBILITY_TIMEOUT_SECONDS,
} from '../shared/queue/names.ts';

export interface KickQueueProps {
  readonly fleetName: string;
  /** Encrypts both queues. Default: SQS's own keys. */
  readonly encryptionKey?: IKey | undefined;
}

export class KickQueue extends Construct {
  readonly queue: Queue;
  readonly deadLetters: Queue;

  constructor(scope: Construct, id: string, { fleetName, encryptionKey }: KickQueueProps) {
    super(scope, id);
    const common = {
      fifo: true,
      // Every kick has an id of its own: equal bodies within five minutes are different wake-ups.
      contentBasedDeduplication: false,
      enforceSSL: true,
      ...(encryptionKey === undefined
        ? { encryption: QueueEncryption.SQS_MANAGED }
        : { encryption: QueueEncryption.KMS, encryptionMasterKey: encryptionKey }),
      // Kicks carry no data: what they stand for is at the sources.
      removalPolicy: RemovalPolicy.DESTROY,
    };
    // Each queue names the other, so one of the names must be known beforehand. The stack's own id keeps it unique.
    const stackGuid = Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));
    const kickName = kickQueueName(`${fleetName}-${stackGuid}`);
    this.deadLetters = new Queue(this, 'DeadLetters', {
      ...common,
      queueName: deadLetterQueueName(`${fleetName}-${stackGuid}`),
      retentionPeriod: Duration.seconds(DEAD_LETTER_RETENTION_SECONDS),
      visibilityTimeout: Duration.seconds(DEAD_LETTER_VISIBILITY_TIMEOUT_SECONDS),
      redriveAllowPolicy: {
        redrivePermission: RedrivePermission.BY_QUEUE,
        sourceQueues: [
          Queue.fromQueueArn(
            this,
            'KicksByName',
            Stack.of(this).formatArn({ service: 'sqs', resource: kickName }),
          ),
        ],
      },
    });
    this.queue = new Queue(this, 'Kicks', {
      ...common,
      queueName: kickName,
      retentionPeriod: Duration.seconds(KICK_RETENTION_SECONDS),
      visibilityTimeout: Duration.seconds(VISIBILITY_TIMEOUT_SECONDS),
      receiveMessageWaitTime: Duration.seconds(RECEIVE_WAIT_SECONDS),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: MAX_RECEIVE_COUNT },
    });
  }
}
