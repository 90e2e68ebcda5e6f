/** Deploying fleets to a LocalStack with the plain CDK, as to AWS; only the address differs. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { ACCOUNT, CREDENTIALS, environmentFor, REGION } from './aws-environment.ts';

const ROOT = join(import.meta.dirname, '..');

export interface FleetOptions {
  readonly endpoint: string;
  readonly configFile: string;
  readonly fleetName: string;
  /** For what the CDK writes. */
  readonly outDir: string;
}

/** Once for a LocalStack, before the first deployment. */
export async function bootstrap(endpoint: string, outDir: string): Promise<void> {
  await cdk(['bootstrap', `aws://${ACCOUNT}/${REGION}`, '--output', outDir], endpoint);
}

export async function deployFleet({ endpoint, outDir, ...fleet }: FleetOptions): Promise<void> {
  const args = ['deploy', fleet.fleetName, ...contextOf(fleet), '--output', outDir];
  await cdk([...args, '--require-approval', 'never', '--method', 'direct'], endpoint);
}

export async function destroyFleet({ endpoint, outDir, ...fleet }: FleetOptions): Promise<void> {
  await cdk(['destroy', fleet.fleetName, ...contextOf(fleet), '--output', outDir, '--force'], endpoint);
}

/** The stack's outputs by name. */
export async function stackOutputs(
  endpoint: string,
  stackName: string,
): Promise<Readonly<Record<string, string>>> {
  const client = new CloudFormationClient({
    endpoint,
    region: REGION,
    credentials: CREDENTIALS,
  });
  try {
    const { Stacks: [stack] = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName }));
    return Object.fromEntries(
      (stack?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]),
    );
  } finally {
    client.destroy();
  }
}

function contextOf({
  configFile,
  fleetName,
}: Pick<FleetOptions, 'configFile' | 'fleetName'>): readonly string[] {
  return ['-c', `config=${configFile}`, '-c', `fleet=${fleetName}`];
}

/** @throws with what the CDK said, if it fails */
async function cdk(args: readonly string[], endpoint: string): Promise<void> {
  const child = spawn(
    process.execPath,
    [
      join(ROOT, 'node_modules', 'aws-cdk', 'bin', 'cdk'),
      ...args,
      '--no-notices',
      '--no-version-reporting',
      '--no-path-metadata',
      '--ci',
    ],
    { cwd: ROOT, env: environmentFor(endpoint), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error(`cdk ${args[0] ?? ''} failed:\n${said}`);
}
