/**
 * One function of a fleet: the program that also runs on one machine, with the configuration beside it, a role of its own and a log
 * group of its own. What it may do beyond writing its log is granted by whoever makes it.
 */
import { AssetHashType, DockerImage, type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Architecture,
  Code,
  Function as LambdaFunction,
  type FunctionOptions,
  Runtime,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { dirname } from 'node:path';
import type { Fleet } from '../shared/config/types.ts';
import { bundleProgram, programFile } from './bundle.ts';
import { unusedPackages } from './unused-packages.ts';

export interface FleetFunctionProps {
  /** Folder under lambdas/. */
  readonly program: string;
  readonly fleet: Fleet;
  readonly configFile: string;
  readonly description: string;
  readonly timeout: Duration;
  readonly memoryMiB: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly logRetention: RetentionDays;
  readonly tracing: boolean;
  /** Subnets and security groups; empty outside of a VPC. */
  readonly network: Pick<FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'>;
}

/**
 * What Lambda itself does with the role to reach a VPC. AWS offers no narrower resource for these; its managed policy would grant
 * all logs besides.
 */
const NETWORK_INTERFACES = {
  actions: [
    'ec2:CreateNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:DeleteNetworkInterface',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ],
  resources: ['*'],
};

export class FleetFunction extends Construct {
  readonly function: LambdaFunction;
  readonly logs: LogGroup;

  constructor(scope: Construct, id: string, props: FleetFunctionProps) {
    super(scope, id);
    this.logs = new LogGroup(this, 'Logs', {
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    this.logs.grantWrite(role);
    if (props.network.vpc !== undefined) role.addToPolicy(new PolicyStatement(NETWORK_INTERFACES));
    this.function = new LambdaFunction(this, 'Function', {
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: 'index.handler',
      code: codeOf(props),
      role,
      timeout: props.timeout,
      memorySize: props.memoryMiB,
      environment: { ...props.environment },
      logGroup: this.logs,
      tracing: props.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      ...props.network,
    });
  }
}

/** Bundled when the app is synthesised, by esbuild in this process: no Docker, and no step for the user. */
function codeOf({ program, fleet, configFile }: FleetFunctionProps): Code {
  const handler = programFile(`lambdas/${program}/handler`);
  return Code.fromAsset(dirname(handler), {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      image: DockerImage.fromRegistry('unused'),
      // Part of the key by which the CDK caches what was bundled in this process.
      environment: { configFile, program },
      local: {
        tryBundle(outDir: string) {
          bundleProgram({
            outDir,
            entries: { index: handler, 'bucardo.config': configFile },
            leaveOut: unusedPackages(fleet),
          });
          return true;
        },
      },
    },
  });
}
