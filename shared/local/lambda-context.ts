/** The context that Lambda passes to a handler, as far as a machine without Lambda can give it. */
import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';

export interface LambdaContextOptions {
  readonly functionName: string;
  readonly timeoutSeconds: number;
}

/** A fresh invocation's context; its time starts to run now. */
export function createLambdaContext({ functionName, timeoutSeconds }: LambdaContextOptions): Context {
  const endsAtMs = performance.now() + timeoutSeconds * 1000;
  return {
    awsRequestId: randomUUID(),
    callbackWaitsForEmptyEventLoop: true,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${functionName}`,
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    memoryLimitInMB: '512',
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(endsAtMs - performance.now())),
    // Left over from Lambda's first runtime; async handlers have no use for them.
    done: () => {},
    fail: () => {},
    succeed: () => {},
  };
}
