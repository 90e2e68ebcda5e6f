/** Everything that a deployed fleet leaves where people can read it, as text to search. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudFormationClient, GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import {
  CloudWatchLogsClient,
  paginateDescribeLogGroups,
  paginateFilterLogEvents,
} from '@aws-sdk/client-cloudwatch-logs';
import { LambdaClient, paginateListFunctions } from '@aws-sdk/client-lambda';
import { CREDENTIALS, REGION } from '../../localstack/aws-environment.ts';

export const CLIENT = { region: REGION, credentials: CREDENTIALS } as const;

export interface Traces {
  readonly template: string;
  readonly programs: string;
  /** Functions as they are configured, with their environments. */
  readonly functions: string;
  readonly logs: string;
}

/** @param outDir where the CDK wrote templates and programs */
export async function readTraces(endpoint: string, stack: string, outDir: string): Promise<Traces> {
  const options = { ...CLIENT, endpoint };
  const stacks = new CloudFormationClient(options);
  const { TemplateBody = '' } = await stacks.send(new GetTemplateCommand({ StackName: stack }));
  const functions: unknown[] = [];
  for await (const page of paginateListFunctions({ client: new LambdaClient(options) }, {})) {
    functions.push(...(page.Functions ?? []));
  }
  return {
    template: TemplateBody,
    programs: programsIn(outDir),
    functions: JSON.stringify(functions),
    logs: await readLogs(new CloudWatchLogsClient(options), stack),
  };
}

function programsIn(outDir: string): string {
  return readdirSync(outDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8'))
    .join('\n');
}

async function readLogs(client: CloudWatchLogsClient, stack: string): Promise<string> {
  const lines: string[] = [];
  for await (const { logGroups = [] } of paginateDescribeLogGroups({ client }, {})) {
    for (const { logGroupName = '' } of logGroups.filter(({ logGroupName: name = '' }) =>
      name.includes(stack),
    )) {
      for await (const { events = [] } of paginateFilterLogEvents({ client }, { logGroupName })) {
        lines.push(...events.map(({ message = '' }) => message));
      }
    }
  }
  return lines.join('\n');
}
