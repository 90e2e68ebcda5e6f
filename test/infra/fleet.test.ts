/** What a fleet's template promises: queues, functions, schedules, rights, names, and how it grows and changes. */
import { Match } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import {
  DEAD_LETTER_RETENTION_SECONDS,
  KICK_RETENTION_SECONDS,
  MAX_RECEIVE_COUNT,
  REPLICATE_TIMEOUT_SECONDS,
  VISIBILITY_TIMEOUT_SECONDS,
} from '../../shared/queue/names.ts';
import { STACK_OUTPUTS } from '../../shared/config/stack-outputs.ts';
import {
  type CloudFormationResource,
  type CloudFormationTemplate,
  messagesOf,
  resourcesOf,
  synthesise,
} from '../support/synthesise.ts';
import { EVERYTHING, EXISTING_VPC, manySyncs, MINIMAL } from './fleets.ts';

const FUNCTIONS = ['replicate', 'sweep', 'kick', 'dead-letter', 'operate'];

/** Only these take no narrower resource. */
const STAR_ACTIONS = [
  'ec2:AssignPrivateIpAddresses',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:UnassignPrivateIpAddresses',
  'ecr:GetAuthorizationToken',
  'xray:PutTelemetryRecords',
  'xray:PutTraceSegments',
];

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}

function statementsOf(template: CloudFormationTemplate): readonly { id: string; statement: Statement }[] {
  return resourcesOf(template, 'AWS::IAM::Policy').flatMap(([id, { Properties }]) => {
    const { Statement = [] } = (Properties?.['PolicyDocument'] ?? {}) as { Statement?: Statement[] };
    return Statement.map((statement) => ({ id, statement }));
  });
}

function functionsOf(
  template: CloudFormationTemplate,
): readonly (readonly [string, CloudFormationResource])[] {
  return resourcesOf(template, 'AWS::Lambda::Function').filter(([id]) => id.startsWith('Fleet'));
}

test('both queues are FIFO, encrypted, refuse what is not TLS, and only kicks become dead letters', () => {
  const { template } = synthesise(MINIMAL);
  template.resourceCountIs('AWS::SQS::Queue', 2);
  template.allResourcesProperties('AWS::SQS::Queue', { FifoQueue: true, SqsManagedSseEnabled: true });
  template.hasResourceProperties('AWS::SQS::Queue', {
    VisibilityTimeout: VISIBILITY_TIMEOUT_SECONDS,
    MessageRetentionPeriod: KICK_RETENTION_SECONDS,
    RedrivePolicy: { maxReceiveCount: MAX_RECEIVE_COUNT, deadLetterTargetArn: Match.anyValue() },
  });
  template.hasResourceProperties('AWS::SQS::Queue', {
    MessageRetentionPeriod: DEAD_LETTER_RETENTION_SECONDS,
    RedriveAllowPolicy: { redrivePermission: 'byQueue', sourceQueueArns: [Match.anyValue()] },
  });
  template.resourceCountIs('AWS::SQS::QueuePolicy', 2);
  template.allResourcesProperties('AWS::SQS::QueuePolicy', {
    PolicyDocument: {
      Statement: Match.arrayWith([
        Match.objectLike({
          Effect: 'Deny',
          Action: 'sqs:*',
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        }),
      ]),
    },
  });
});

test('a kick stays hidden as long as a run may take, and is kept for longer than that', () => {
  expect(VISIBILITY_TIMEOUT_SECONDS).toBeGreaterThanOrEqual(REPLICATE_TIMEOUT_SECONDS);
  expect(KICK_RETENTION_SECONDS).toBeGreaterThan(VISIBILITY_TIMEOUT_SECONDS);
  const { template } = synthesise(MINIMAL);
  template.hasResourceProperties('AWS::Lambda::Function', { Timeout: REPLICATE_TIMEOUT_SECONDS });
});

test('a key that is given encrypts queues and topic', () => {
  const { template } = synthesise(EVERYTHING);
  const key = Match.stringLikeRegexp('01234567-89ab-cdef');
  template.allResourcesProperties('AWS::SQS::Queue', { KmsMasterKeyId: key });
  template.allResourcesProperties('AWS::SNS::Topic', { KmsMasterKeyId: key });
});

test('every program that reads secrets may decrypt what the key that is given encrypts', () => {
  const { json } = synthesise(EVERYTHING);
  const policies = (action: string) =>
    new Set(
      statementsOf(json)
        .filter(({ statement }) => [statement.Action].flat().includes(action))
        .map(({ id }) => id),
    );
  const readers = policies('secretsmanager:GetSecretValue');
  // Six functions and the notifier.
  expect(readers.size).toBe(7);
  for (const id of readers) expect([...policies('kms:Decrypt')], id).toContain(id);
});

test('functions run on the newest Node and arm64, each with its own role and log group', () => {
  const { json, template } = synthesise(MINIMAL);
  const functions = functionsOf(json);
  expect(functions).toHaveLength(FUNCTIONS.length);
  const roles = new Set<string>();
  for (const [, { Properties }] of functions) {
    expect(Properties).toMatchObject({ Runtime: 'nodejs24.x', Architectures: ['arm64'] });
    roles.add(JSON.stringify(Properties?.['Role']));
    expect(Properties?.['LoggingConfig']).toMatchObject({ LogGroup: { Ref: expect.any(String) } });
  }
  expect(roles.size).toBe(FUNCTIONS.length);
  template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: Match.anyValue() });
});

test('kicks are taken one by one, failures told one by one, and no more run than the databases allow', () => {
  const { template } = synthesise(EVERYTHING);
  // shop allows 30 connections: what is reserved at a source leaves room for fewer runs than there are lanes only if it is small.
  template.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
    BatchSize: 1,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    ScalingConfig: { MaximumConcurrency: 5 },
  });
});

test('every distinct schedule has one rule, the sweep its own, and syncs without a schedule have none', () => {
  const { json } = synthesise(EVERYTHING);
  const schedules = resourcesOf(json, 'AWS::Events::Rule').map(
    ([, { Properties }]) => Properties?.['ScheduleExpression'],
  );
  expect(new Set(schedules)).toEqual(new Set(['cron(0 3 * * ? *)', 'rate(1 minute)', 'rate(5 minutes)']));
  expect(schedules).toHaveLength(3);
  expect(
    resourcesOf(synthesise(MINIMAL).json, 'AWS::Events::Rule').map(
      ([, { Properties }]) => Properties?.['ScheduleExpression'],
    ),
  ).toEqual(['rate(1 minute)']);
});

test.each([
  ['minimal', MINIMAL],
  ['everything', EVERYTHING],
])('%s: no right is wider than its resource, but for actions that take none', (_, config) => {
  const { json } = synthesise(config);
  for (const { id, statement } of statementsOf(json)) {
    const actions = [statement.Action].flat();
    expect(
      actions.filter((action) => action.endsWith('*') && !/^kms:(ReEncrypt|GenerateDataKey)\*$/.test(action)),
      id,
    ).toEqual([]);
    if (statement.Effect === 'Allow' && [statement.Resource].flat().includes('*')) {
      expect(
        actions.filter((action) => !STAR_ACTIONS.includes(action)),
        id,
      ).toEqual([]);
    }
  }
  expect(JSON.stringify(json)).not.toContain('arn:aws:iam::aws:policy');
});

test('functions read the secrets of the databases that they use, and no others', () => {
  const { json } = synthesise(MINIMAL);
  const secrets = (program: string) =>
    statementsOf(json)
      .filter(
        ({ id, statement }) => id.includes(program) && statement.Action === 'secretsmanager:GetSecretValue',
      )
      .map(({ statement }) => JSON.stringify(statement.Resource));
  expect(secrets('Replicate').join()).toMatch(/bucardo\/reports-\?{6}.*bucardo\/shop-\?{6}/);
  for (const program of ['Sweep', 'Kick', 'Operate', 'DeadLetter']) {
    expect(secrets(program).join(), program).toContain('bucardo/shop-??????');
    expect(secrets(program).join(), program).not.toContain('reports');
  }
});

test('a login by IAM is allowed for its user at its instance only', () => {
  const { json } = synthesise(EVERYTHING);
  const logins = statementsOf(json).filter(({ statement }) => statement.Action === 'rds-db:connect');
  expect(logins).not.toEqual([]);
  for (const { statement } of logins) {
    expect(JSON.stringify(statement.Resource)).toContain(':dbuser:db-ABCDEFGHIJKL/replicator');
  }
});

test('a variable as URL is refused, since its value would have to be in the template', () => {
  const fleet = synthesise(MINIMAL.replace("secret('bucardo/shop')", "env('SHOP_URL')"));
  expect(messagesOf(fleet)).toMatch(/databases\.shop\.url is env\('SHOP_URL'\).*write secret/s);
});

test.each([
  ['minimal', MINIMAL],
  ['everything', EVERYTHING],
])('%s: nothing has a fixed name, so that fleets fit beside each other', (_, config) => {
  const { json } = synthesise(config);
  const fixed = Object.entries(json.Resources).flatMap(([id, { Type, Properties = {} }]) =>
    Object.entries(Properties)
      .filter(([name]) => /^(\w*Name|Name)$/.test(name) && !ALLOWED_NAMES.has(`${Type}.${name}`))
      .filter(
        ([, value]) =>
          !JSON.stringify(value).includes('"Ref"') && !JSON.stringify(value).includes('AWS::StackId'),
      )
      .map(([name, value]) => `${id}.${name} = ${JSON.stringify(value)}`),
  );
  expect(fixed).toEqual([]);
  const text = JSON.stringify(json);
  expect(text.replaceAll(/arn:aws:(kms|secretsmanager):eu-west-1:123456789012/g, '')).not.toMatch(
    /\b\d{12}\b/,
  );
});

/** Names that are no resource's own: of policies within a role, metrics, services. */
const ALLOWED_NAMES = new Set([
  'AWS::IAM::Policy.PolicyName',
  'AWS::CloudWatch::Alarm.MetricName',
  'AWS::EC2::VPCEndpoint.ServiceName',
  'AWS::Lambda::Permission.FunctionName',
  'AWS::SNS::Topic.DisplayName',
]);

test('what the command line needs to find a fleet is in the outputs', () => {
  const { json } = synthesise(MINIMAL);
  expect(Object.keys(json.Outputs ?? {})).toEqual(expect.arrayContaining([...STACK_OUTPUTS]));
});

test('a fleet without a notifier says how to start one', () => {
  const { json } = synthesise(EXISTING_VPC, { env: { account: '123456789012', region: 'eu-west-1' } });
  expect(JSON.stringify(json.Outputs)).toContain('npx bucardo notifier');
  expect(resourcesOf(json, 'AWS::ECS::Service')).toEqual([]);
});

test('one more sync changes the programs that hold the configuration, and adds what that sync needs', () => {
  const before = synthesise(manySyncs(3)).json.Resources;
  const after = synthesise(manySyncs(4)).json.Resources;
  const added = Object.keys(after).filter((id) => !(id in before));
  const changed = Object.keys(before).filter(
    (id) => JSON.stringify(before[id]) !== JSON.stringify(after[id]),
  );
  // The new sync brings databases of its own and a new schedule.
  expect(new Set(added.map((id) => after[id]?.Type))).toEqual(
    new Set(['AWS::Events::Rule', 'AWS::Lambda::Permission']),
  );
  expect(added).toHaveLength(2);
  expect(new Set(changed.map((id) => after[id]?.Type))).toEqual(
    new Set([
      'AWS::ECS::TaskDefinition',
      'AWS::IAM::Policy',
      'AWS::Lambda::EventSourceMapping',
      'AWS::Lambda::Function',
    ]),
  );
  expect(Object.keys(before).filter((id) => !(id in after))).toEqual([]);
});

test('500 syncs fit into a stack', () => {
  const figures = [1, 50, 500].map((count) => {
    const { json } = synthesise(manySyncs(count));
    return { count, resources: Object.keys(json.Resources).length, bytes: JSON.stringify(json).length };
  });
  const [one, fifty, fiveHundred] = figures;
  // CloudFormation's limits are 500 resources and 1 MB.
  expect(fiveHundred?.resources).toBeLessThan(200);
  expect(fiveHundred?.bytes).toBeLessThan(500_000);
  expect(fiveHundred?.resources).toBe(fifty?.resources);
  expect(one?.resources).toBeLessThan(150);
});

test('deploying with apply prepares the sources before any function gets the configuration', () => {
  const { json } = synthesise(EVERYTHING);
  const [[applied] = ['']] = resourcesOf(json, 'Custom::BucardoApply');
  const functions = functionsOf(json).filter(([id]) => !id.includes('ApplyOnDeploy'));
  expect(functions).toHaveLength(FUNCTIONS.length);
  for (const [, { DependsOn }] of functions) expect([DependsOn].flat()).toContain(applied);
  expect(resourcesOf(synthesise(MINIMAL).json, 'Custom::BucardoApply')).toEqual([]);
});

test('destroying a stack leaves nothing of it behind', () => {
  const { json } = synthesise(EVERYTHING);
  const kept = Object.entries(json.Resources).filter(([, { DeletionPolicy }]) =>
    /Retain/.test(DeletionPolicy ?? ''),
  );
  expect(kept).toEqual([]);
});
