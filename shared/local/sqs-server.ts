/**
 * SQS on this machine: fauxqs in this process, on the loopback address only, with both queues created. Messages live in
 * memory: kicks may be lost, and whoever starts the parts kicks every lane anyway. Other processes (the CLI) reach it
 * by its endpoint.
 */
import { CreateQueueCommand, GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { buildApp } from 'fauxqs';
import { BucardoError } from '../errors/bucardo-error.ts';
import {
  deadLetterQueueAttributes,
  deadLetterQueueName,
  kickQueueAttributes,
  kickQueueName,
} from '../queue/names.ts';
import { createSqsClient, LOCAL_REGION } from '../queue/sqs-client.ts';

export interface LocalSqsOptions {
  /** Default: any free port. */
  readonly port?: number;
  /** The fleet's name, part of the queues' names. */
  readonly fleet?: string;
  /** Differ from the deployed queues, for tests that cannot wait. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly maxReceiveCount?: number;
}

interface LocalQueue {
  readonly url: string;
  readonly arn: string;
}

export interface LocalSqs {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly kicks: LocalQueue;
  readonly deadLetters: LocalQueue;
  /** Ends the server; its messages are gone. */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';

/** The account that the stand-in puts into ARNs and URLs. */
const LOCAL_ACCOUNT = '000000000000';

/** @throws BUC-QUEUE-FAILED if the port is taken */
export async function startLocalSqs(options: LocalSqsOptions = {}): Promise<LocalSqs> {
  const { port: wantedPort = 0, fleet = 'bucardo' } = options;
  // Not fauxqs's own start function: that one listens on every address of the machine.
  const app = buildApp({ logger: false, host: LOOPBACK, defaultRegion: LOCAL_REGION });
  const address = await app.listen({ port: wantedPort, host: LOOPBACK }).catch((error: unknown) => {
    throw new BucardoError('BUC-QUEUE-FAILED', {
      detail: `port ${wantedPort} of this machine cannot be opened`,
      remedy: 'Stop the program that uses the port, or choose another one.',
      cause: error,
    });
  });
  const port = Number(new URL(address).port);
  const endpoint = `http://${LOOPBACK}:${port}`;
  const client = createSqsClient({ queueUrl: endpoint, endpoint, requestTimeoutMs: 5_000, maxAttempts: 3 });

  async function createQueue(
    name: string,
    attributes: Readonly<Record<string, string>>,
  ): Promise<LocalQueue> {
    await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
    // The stand-in's own URLs have a host name per region, which not every resolver knows.
    const url = `${endpoint}/${LOCAL_ACCOUNT}/${name}`;
    const { Attributes } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
    );
    return { url, arn: Attributes?.QueueArn ?? '' };
  }

  try {
    const deadLetters = await createQueue(deadLetterQueueName(fleet), deadLetterQueueAttributes());
    const kicks = await createQueue(kickQueueName(fleet), {
      ...kickQueueAttributes(deadLetters.arn, options.maxReceiveCount),
      ...options.attributes,
    });
    return { endpoint, port, region: LOCAL_REGION, kicks, deadLetters, close: () => app.close() };
  } catch (error) {
    await app.close();
    throw error;
  } finally {
    client.destroy();
  }
}
