/** A deployed fleet, found by the outputs of its stack, with the usual AWS handling of profile and region. */
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { STACK_OUTPUTS, type StackOutput } from '../../shared/config/stack-outputs.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

export interface AwsPlace {
  readonly profile?: string;
  readonly region?: string;
}

export interface DeployedFleet extends AwsPlace {
  readonly stack: string;
  readonly outputs: Readonly<Record<StackOutput, string>>;
}

/** @throws BUC-FLEET-NOT-FOUND */
export async function findFleet(stack: string, place: AwsPlace): Promise<DeployedFleet> {
  const client = new CloudFormationClient(place);
  let outputs: Readonly<Record<string, string>>;
  try {
    const { Stacks: [found] = [] } = await client.send(new DescribeStacksCommand({ StackName: stack }));
    outputs = Object.fromEntries(
      (found?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]),
    );
  } catch (cause) {
    throw notFound(stack, await regionOf(client), cause);
  } finally {
    client.destroy();
  }
  const missing = STACK_OUTPUTS.filter((name) => outputs[name] === undefined);
  if (missing.length > 0) {
    throw new BucardoError('BUC-FLEET-NOT-FOUND', {
      detail: `stack ${stack} has no output ${missing.join(', ')}`,
      remedy: 'Name the fleet’s stack with --stack, or deploy it again with this version.',
    });
  }
  return { ...place, stack, outputs };
}

function notFound(stack: string, region: string | undefined, cause: unknown): BucardoError {
  const { name } = cause instanceof Error ? cause : { name: 'unknown' };
  if (region === undefined) {
    return new BucardoError('BUC-FLEET-NOT-FOUND', {
      detail: 'no AWS region is set',
      remedy: 'Name it with --region, AWS_REGION or a profile.',
      cause,
    });
  }
  const [detail, remedy] = REASONS[name] ?? [`CloudFormation answered ${name}`, undefined];
  return new BucardoError('BUC-FLEET-NOT-FOUND', {
    detail: `stack ${stack} in ${region}: ${detail}`,
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  });
}

const REASONS: Readonly<Record<string, readonly [string, string]>> = {
  // What CloudFormation answers for a stack that is not there.
  ValidationError: [
    'there is no such stack',
    'Deploy it with `cdk deploy`, or choose another with --stack, --region or --profile.',
  ],
  AccessDenied: [
    'the credentials do not allow cloudformation:DescribeStacks',
    'Use a profile that may (--profile).',
  ],
  CredentialsProviderError: [
    'there are no AWS credentials here',
    'Sign in, or name a profile with --profile.',
  ],
  ExpiredToken: ['the AWS credentials have expired', 'Sign in again.'],
  ExpiredTokenException: ['the AWS credentials have expired', 'Sign in again.'],
};

/** Undefined if none is set, or an empty one. */
async function regionOf(client: CloudFormationClient): Promise<string | undefined> {
  try {
    return await client.config.region();
  } catch {
    return undefined;
  }
}
