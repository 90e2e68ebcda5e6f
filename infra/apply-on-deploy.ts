/**
 * `bucardo apply` as part of a deployment, before any function gets the new configuration. Runs again whenever the configuration
 * changes. A failure rolls the deployment back; nothing is ever taken off a source by it.
 */
import { CustomResource, Duration } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { FunctionOptions } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Fleet } from '../shared/config/types.ts';
import { configurationHash } from './configuration-hash.ts';
import { grantDatabases } from './database-rights.ts';
import { FleetFunction } from './fleet-function.ts';

export interface ApplyOnDeployProps {
  readonly fleet: Fleet;
  readonly configFile: string;
  /** Of the fleet; secrets may be encrypted with it, too. */
  readonly encryptionKey: IKey | undefined;
  readonly network: Pick<FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'>;
}

/** Lambda's longest: many tables, each waiting for its lock. */
const TIMEOUT_SECONDS = 900;

const MEMORY_MIB = 256;

export class ApplyOnDeploy extends Construct {
  readonly resource: CustomResource;

  constructor(
    scope: Construct,
    id: string,
    { fleet, configFile, encryptionKey, network }: ApplyOnDeployProps,
  ) {
    super(scope, id);
    const { function: apply } = new FleetFunction(this, 'Apply', {
      program: 'apply',
      fleet,
      configFile,
      description: `Prepares the sources of the ${fleet.name} fleet while it is deployed`,
      timeout: Duration.seconds(TIMEOUT_SECONDS),
      memoryMiB: MEMORY_MIB,
      environment: {},
      logRetention: fleet.aws.logRetentionDays,
      tracing: fleet.aws.tracing,
      network,
    });
    grantDatabases(this, fleet, 'sources', apply);
    // The other functions have it for the queue.
    encryptionKey?.grantDecrypt(apply);
    this.resource = new CustomResource(this, 'Applied', {
      resourceType: 'Custom::BucardoApply',
      serviceToken: apply.functionArn,
      serviceTimeout: Duration.seconds(TIMEOUT_SECONDS),
      properties: { Configuration: configurationHash(configFile) },
    });
    // The role's rights must be there when it is called.
    this.resource.node.addDependency(apply.role ?? apply);
  }
}
