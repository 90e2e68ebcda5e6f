/** Where programs run and what they may reach, for every way in which a configuration may say so. */
import { Match } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import { type CloudFormationTemplate, messagesOf, resourcesOf, synthesise } from '../support/synthesise.ts';
import { EVERYTHING, EXISTING_VPC, MINIMAL } from './fleets.ts';

const GROUP = 'sg-0123456789abcdef0';
const ACCOUNT = { env: { account: '123456789012', region: 'eu-west-1' } } as const;

interface Rule {
  readonly FromPort?: number;
  readonly CidrIp?: string;
  readonly GroupId?: string;
  readonly SourceSecurityGroupId?: unknown;
}

interface Group {
  readonly GroupDescription?: string;
  readonly SecurityGroupEgress?: readonly Rule[];
  readonly SecurityGroupIngress?: readonly Rule[];
}

const withNetwork = (network: string, fleet = MINIMAL): string =>
  fleet.replace(/\}$/, `aws: { network: ${network} } }`);

function groupsOf(json: CloudFormationTemplate): readonly Group[] {
  return resourcesOf(json, 'AWS::EC2::SecurityGroup').map(([, { Properties }]) => Properties as Group);
}

/** Ports that whoever is in the group may connect to. */
function portsOf(json: CloudFormationTemplate, program: string): readonly number[] {
  const group = groupsOf(json).find(({ GroupDescription = '' }) => GroupDescription.startsWith(program));
  return (group?.SecurityGroupEgress ?? []).map(({ FromPort = 0 }) => FromPort).toSorted((a, b) => a - b);
}

/** Ports of databases' groups that are opened, with who is let in. */
function openedPorts(json: CloudFormationTemplate): readonly string[] {
  return resourcesOf(json, 'AWS::EC2::SecurityGroupIngress')
    .filter(([, { Properties }]) => (Properties as Rule).GroupId === GROUP)
    .map(([, { Properties }]) => {
      const { FromPort, SourceSecurityGroupId } = Properties as Rule;
      const source = /Fleet\w*?(Functions|Notifier)Group/.exec(JSON.stringify(SourceSecurityGroupId));
      return `${FromPort} for ${source?.[1]}`;
    })
    .toSorted();
}

function endpointsOf(json: CloudFormationTemplate): readonly string[] {
  return resourcesOf(json, 'AWS::EC2::VPCEndpoint')
    .map(([, { Properties }]) => JSON.stringify(Properties?.['ServiceName']))
    .map((name) => /\.([a-z0-9.]+)"/.exec(name.replace('com.amazonaws', ''))?.[1] ?? name)
    .toSorted();
}

test('in public, functions have no VPC, and the notifier one in which nothing can be reached', () => {
  const { json, template } = synthesise(MINIMAL);
  template.allResourcesProperties('AWS::Lambda::Function', { VpcConfig: Match.absent() });
  template.hasResourceProperties('AWS::ECS::Service', {
    NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'ENABLED' } },
  });
  template.resourceCountIs('AWS::EC2::NatGateway', 0);
  expect(endpointsOf(json)).toEqual([]);
  expect(groupsOf(json)).toHaveLength(1);
  expect(groupsOf(json)[0]?.SecurityGroupIngress).toBeUndefined();
});

test('without a notifier nothing in public needs a VPC', () => {
  const { template } = synthesise(MINIMAL.replace(/\}$/, `aws: { notifier: 'none' } }`));
  template.resourceCountIs('AWS::EC2::VPC', 0);
});

test('with a NAT gateway, all are in private subnets and have no public address', () => {
  const { json, template } = synthesise(withNetwork(`{ create: 'nat' }`));
  template.resourceCountIs('AWS::EC2::NatGateway', 1);
  expect(endpointsOf(json)).toEqual([]);
  template.allResourcesProperties('AWS::Lambda::Function', { VpcConfig: Match.anyValue() });
  template.hasResourceProperties('AWS::ECS::Service', {
    NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'DISABLED' } },
  });
  for (const { SecurityGroupIngress } of groupsOf(json)) expect(SecurityGroupIngress).toBeUndefined();
});

test('with endpoints, there is no way to the internet, and one to each service that is used', () => {
  const { json, template } = synthesise(EVERYTHING);
  for (const way of ['NatGateway', 'InternetGateway', 'EIP']) template.resourceCountIs(`AWS::EC2::${way}`, 0);
  expect(endpointsOf(json)).toEqual([
    'ecr.api',
    'ecr.dkr',
    'events',
    'logs',
    's3',
    'secretsmanager',
    'sqs',
    'ssm',
  ]);
  const doors = groupsOf(json).flatMap(({ SecurityGroupIngress = [] }) => SecurityGroupIngress);
  expect(doors).toHaveLength(7);
  for (const door of doors) expect(door).toMatchObject({ CidrIp: '10.235.0.0/22', FromPort: 443 });
});

test('endpoints that nothing uses are not paid for', () => {
  const { json } = synthesise(withNetwork(`{ create: 'endpoints' }, notifier: 'none'`));
  expect(endpointsOf(json)).toEqual(['secretsmanager', 'sqs']);
});

test('without a notifier, what prepares sources during a deployment has a way to tell how it went', () => {
  const { json } = synthesise(withNetwork(`{ create: 'endpoints' }, notifier: 'none', applyOnDeploy: true`));
  expect(endpointsOf(json)).toContain('s3');
});

test('functions reach the ports of all databases, the notifier those of sources', () => {
  const { json } = synthesise(EVERYTHING);
  expect(portsOf(json, 'Functions')).toEqual([443, 5432, 5433]);
  expect(portsOf(json, 'Notifier')).toEqual([443, 5432]);
});

test('a database in the VPC lets in who uses it, once for each port', () => {
  const target = `securityGroup: '${GROUP}'`;
  const shared = withNetwork(`{ create: 'nat' }`)
    .replace(`secret('bucardo/shop')`, `secret('bucardo/shop'), ${target}`)
    .replace(`secret('bucardo/reports')`, `secret('bucardo/reports'), ${target}`);
  expect(openedPorts(synthesise(shared).json)).toEqual(['5432 for Functions', '5432 for Notifier']);
  const apart = shared.replace(`secret('bucardo/reports')`, `'postgres://app@reports.example:6432/reports'`);
  expect(openedPorts(synthesise(apart).json)).toEqual([
    '5432 for Functions',
    '5432 for Notifier',
    '6432 for Functions',
  ]);
});

test('a group of a database is refused where functions have no address that it could let in', () => {
  const fleet = MINIMAL.replace(
    `secret('bucardo/shop')`,
    `secret('bucardo/shop'), securityGroup: '${GROUP}'`,
  );
  expect(messagesOf(synthesise(fleet))).toContain("aws: { network: { vpcId: 'vpc-…' } }");
});

/** The fleet in a VPC that has subnets of one kind, as the CDK finds it. */
function inVpcOf(type: 'Private' | 'Isolated' | 'Public') {
  const [lookup] = synthesise(EXISTING_VPC, ACCOUNT).app.synth().manifest.missing ?? [];
  const subnets = ['a', 'b'].map((zone, index) => ({
    subnetId: `subnet-${type.toLowerCase()}${index}`,
    cidr: `10.0.${index}.0/24`,
    availabilityZone: `eu-west-1${zone}`,
    routeTableId: `rtb-${index}`,
  }));
  const found = {
    vpcId: 'vpc-0123456789abcdef0',
    vpcCidrBlock: '10.0.0.0/16',
    ownerAccountId: ACCOUNT.env.account,
    availabilityZones: [],
    subnetGroups: [{ name: type, type, subnets }],
  };
  return synthesise(EXISTING_VPC, { ...ACCOUNT, lookedUp: { [lookup?.key ?? '']: found } });
}

test.each(['Private', 'Isolated'] as const)('a VPC of one’s own may have %s subnets', (type) => {
  inVpcOf(type).template.allResourcesProperties('AWS::Lambda::Function', {
    VpcConfig: Match.objectLike({ SubnetIds: [0, 1].map((index) => `subnet-${type.toLowerCase()}${index}`) }),
  });
});

test('a VPC of one’s own with nothing but public subnets is refused, with what to write', () => {
  expect(() => inVpcOf('Public')).toThrow(/vpc-0123456789abcdef0 has public subnets only.*Name one with/s);
});

test('a VPC can be looked up only where account and region are known', () => {
  expect(() => synthesise(EXISTING_VPC)).toThrow(/vpc-0123456789abcdef0.*Sign in to AWS/s);
});
