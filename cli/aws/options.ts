/** The global options that turn a command to a deployed fleet. */
import type { Command } from 'commander';
import { readFleet } from '../read-fleet.ts';
import { type DeployedFleet, findFleet } from './find-fleet.ts';

interface AwsOptions {
  readonly aws?: true;
  readonly stack?: string;
  readonly profile?: string;
  readonly region?: string;
}

/** The deployed fleet, if the command line asks for it. @throws BUC-FLEET-NOT-FOUND, BUC-CONFIG-… if no stack is named */
export async function deployedFleet(command: Command): Promise<DeployedFleet | undefined> {
  const { aws, stack, profile, region } = command.optsWithGlobals<AwsOptions>();
  if (aws !== true) return undefined;
  return await findFleet(stack ?? (await readFleet(command)).fleet.name, {
    ...(profile === undefined ? {} : { profile }),
    ...(region === undefined ? {} : { region }),
  });
}

export function addAwsOptions(program: Command): Command {
  return program
    .option('--aws', 'talk to the deployed fleet, instead of databases and `bucardo dev`')
    .option('--stack <name>', 'with --aws: the fleet’s stack (default: the fleet’s name)')
    .option('--profile <name>', 'with --aws: profile of the AWS configuration')
    .option('--region <name>', 'with --aws: AWS region');
}
