/** Calling a function of a deployed fleet. Its errors arrive as it threw them: the code as name, the text as message. */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import { errorCodes, type ErrorCode } from '../../shared/errors/codes.ts';
import type { DeployedFleet } from './find-fleet.ts';

/** Lambda's longest run, and a moment more. */
const TIMEOUT_MS = 905_000;

/** @throws what the function threw; BUC-FUNCTION-FAILED */
export async function invoke(
  { profile, region, outputs }: DeployedFleet,
  output: 'KickFunction' | 'OperateFunction',
  event: object,
): Promise<unknown> {
  const client = new LambdaClient({
    ...(profile === undefined ? {} : { profile }),
    ...(region === undefined ? {} : { region }),
    // A second attempt would kick a second time, and wait once more.
    maxAttempts: 1,
    requestHandler: { requestTimeout: TIMEOUT_MS, connectionTimeout: 5_000 },
  });
  try {
    const { FunctionError, Payload } = await client.send(
      new InvokeCommand({ FunctionName: outputs[output], Payload: Buffer.from(JSON.stringify(event)) }),
    );
    const text = Payload === undefined ? 'null' : Buffer.from(Payload).toString();
    if (FunctionError === undefined) return JSON.parse(text) as unknown;
    throw functionFailed(JSON.parse(text) as FunctionFailure, outputs[output]);
  } catch (error) {
    if (error instanceof BucardoError) throw error;
    throw new BucardoError('BUC-FUNCTION-FAILED', {
      detail: `${outputs[output]}: ${error instanceof Error ? error.name : 'unknown'}`,
      cause: error,
    });
  } finally {
    client.destroy();
  }
}

interface FunctionFailure {
  readonly errorType?: string;
  readonly errorMessage?: string;
}

const REMEDY = '\n  What to do: ';

function functionFailed({ errorType = '', errorMessage = '' }: FunctionFailure, name: string): BucardoError {
  if (!isCode(errorType)) {
    return new BucardoError('BUC-FUNCTION-FAILED', {
      detail: `${name} ended with ${errorType || 'no error type'}`,
    });
  }
  const [message = '', remedy] = errorMessage.split(REMEDY);
  // The text begins with the code's title, which the error has by itself.
  const { title } = errorCodes[errorType];
  const detail = message.startsWith(title) ? message.slice(title.length).replace(/^:? /, '') : message;
  return new BucardoError(errorType, { detail, ...(remedy === undefined ? {} : { remedy }) });
}

function isCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCodes, text);
}
