/**
 * The SDK's client with bounds: no request may wait for ever. With an explicit endpoint (a stand-in on this machine)
 * nothing of the machine's AWS configuration is used.
 */
import { SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs';

export interface SqsAddress {
  /** Default: the region in the queue's URL, else what the SDK finds. */
  readonly region?: string | undefined;
  /** A stand-in for SQS, for example `http://127.0.0.1:4566`. Default: AWS. */
  readonly endpoint?: string | undefined;
}

export interface SqsClientOptions extends SqsAddress {
  readonly queueUrl: string;
  /** Longer than the longest long poll, if the client receives. */
  readonly requestTimeoutMs: number;
  /** 1 where the caller has its own retries. */
  readonly maxAttempts: number;
}

/** What a stand-in is told; it verifies nothing. */
export const LOCAL_REGION = 'us-east-1';
const LOCAL_CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' };

const CONNECTION_TIMEOUT_MS = 3_000;

export function createSqsClient({
  queueUrl,
  region = regionOfQueueUrl(queueUrl),
  endpoint,
  requestTimeoutMs,
  maxAttempts,
}: SqsClientOptions): SQSClient {
  return new SQSClient({
    ...placeOf(region, endpoint),
    maxAttempts,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
    },
  });
}

function placeOf(region: string | undefined, endpoint: string | undefined): SQSClientConfig {
  if (endpoint !== undefined) {
    return { endpoint, region: region ?? LOCAL_REGION, credentials: LOCAL_CREDENTIALS };
  }
  return region === undefined ? {} : { region };
}

/** `https://sqs.eu-west-1.amazonaws.com/…` says where it is; the URLs of stand-ins need not. */
function regionOfQueueUrl(queueUrl: string): string | undefined {
  const host = URL.canParse(queueUrl) ? new URL(queueUrl).hostname : '';
  return /^sqs\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?$/.exec(host)?.[1];
}
