/**
 * The CDK app of a checkout: `cdk deploy` makes the fleet of bucardo.config.ts. By context, `-c config=FILE` takes another
 * configuration and `-c fleet=NAME` another name, for stages.
 */
import { resolve } from 'node:path';
import { App, type Environment } from 'aws-cdk-lib';
import { readVariable } from '../shared/config/environment.ts';
import { readConfig } from './read-config.ts';
import { BucardoFleetStack } from './bucardo-fleet-stack.ts';

const app = new App();
const configFile = resolve(textContext('config') ?? 'bucardo.config.ts');
const { name, aws } = readConfig(configFile);
const fleetName = textContext('fleet') ?? name;

new BucardoFleetStack(app, fleetName, {
  configFile,
  fleetName,
  description: `Replication by Bucardo Serverless: the ${fleetName} fleet`,
  // Only looking up a network needs to know the account and region beforehand.
  ...(typeof aws.network === 'object' && 'vpcId' in aws.network ? { env: currentEnvironment() } : {}),
});
app.synth();

function textContext(key: string): string | undefined {
  const value: unknown = app.node.tryGetContext(key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** As the CDK's command line finds them: by profile, or by its usual variables. */
function currentEnvironment(): Environment {
  const account = readVariable('CDK_DEFAULT_ACCOUNT');
  const region = readVariable('CDK_DEFAULT_REGION');
  return {
    ...(account === undefined ? {} : { account }),
    ...(region === undefined ? {} : { region }),
  };
}
