/**
 * Where functions and notifier run, and what they may reach: the databases' ports and AWS's own services, nothing else. Whatever the
 * configuration says of networks becomes placements here.
 */
import { Annotations, Stack, Token } from 'aws-cdk-lib';
import {
  CfnSecurityGroupIngress,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISecurityGroup,
  type IVpc,
  Port,
  SecurityGroup,
  type SubnetSelection,
  SubnetType,
  Vpc,
  type VpcProps,
  Peer,
} from 'aws-cdk-lib/aws-ec2';
import type { FunctionOptions } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Database, Fleet } from '../shared/config/types.ts';
import { type DatabaseUse, usedDatabases } from './database-rights.ts';

export interface FleetNetworkProps {
  readonly fleet: Fleet;
}

export interface NotifierPlacement {
  readonly vpc: IVpc;
  readonly vpcSubnets: SubnetSelection;
  readonly securityGroups: readonly ISecurityGroup[];
  readonly assignPublicIp: boolean;
}

const POSTGRES_PORT = 5432;
const HTTPS_PORT = 443;

/** Two zones: one may fail. */
const ZONES = 2;

/** Small: interfaces of functions and a task or two. */
const CIDR = '10.235.0.0/22';

export class FleetNetwork extends Construct {
  readonly #functions: ReturnType<FleetNetwork['functionProps']>;
  readonly #placement: NotifierPlacement | undefined;

  constructor(scope: Construct, id: string, { fleet }: FleetNetworkProps) {
    super(scope, id);
    const { network, notifier } = fleet.aws;
    const hasNotifier = notifier === 'fargate';
    if (network === 'public') {
      this.#functions = {};
      this.#placement = hasNotifier ? this.#publicPlacement(fleet) : undefined;
      if (usedDatabases(fleet, 'all').some(({ securityGroup }) => securityGroup !== undefined)) {
        Annotations.of(this).addError(
          "a database names its securityGroup, but aws.network is 'public': functions outside of a VPC have no address that it could let in. " +
            "Set aws: { network: { vpcId: 'vpc-…' } }, or leave securityGroup out.",
        );
      }
      return;
    }
    const vpc = 'vpcId' in network ? this.#existing(network.vpcId) : this.#created(network.create, fleet);
    const vpcSubnets = { subnetType: privateSubnetType(vpc) };
    const functions = this.#securityGroup('Functions', vpc, fleet, 'all');
    this.#functions = { vpc, vpcSubnets, securityGroups: [functions] };
    this.#letIn(fleet, 'Functions', functions, 'all');
    if (hasNotifier) {
      const group = this.#securityGroup('Notifier', vpc, fleet, 'sources');
      this.#placement = { vpc, vpcSubnets, securityGroups: [group], assignPublicIp: false };
      this.#letIn(fleet, 'Notifier', group, 'sources');
    }
  }

  functionProps(): Pick<FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'> {
    return this.#functions;
  }

  /** Undefined where the notifier runs elsewhere. */
  get notifierPlacement(): NotifierPlacement | undefined {
    return this.#placement;
  }

  /** Fargate needs a VPC, also where everything is public. It has nothing in it that could be reached. */
  #publicPlacement(fleet: Fleet): NotifierPlacement {
    const vpc = makeVpc(this, {
      ipAddresses: IpAddresses.cidr(CIDR),
      maxAzs: ZONES,
      natGateways: 0,
      subnetConfiguration: [{ name: 'Public', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false }],
    });
    return {
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      securityGroups: [this.#securityGroup('Notifier', vpc, fleet, 'sources')],
      assignPublicIp: true,
    };
  }

  #existing(vpcId: string): IVpc {
    if (Token.isUnresolved(Stack.of(this).account) || Token.isUnresolved(Stack.of(this).region)) {
      throw new Error(
        `aws.network names ${vpcId}, which can be looked up only in a known account and region. ` +
          `Sign in to AWS (AWS_PROFILE) so that the CDK knows both, or give the stack an env.`,
      );
    }
    return Vpc.fromLookup(this, 'Vpc', { vpcId });
  }

  #created(create: 'nat' | 'endpoints', fleet: Fleet): IVpc {
    const vpc = makeVpc(this, {
      ipAddresses: IpAddresses.cidr(CIDR),
      maxAzs: ZONES,
      natGateways: create === 'nat' ? 1 : 0,
      subnetConfiguration: [
        ...(create === 'nat'
          ? [{ name: 'Public', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false }]
          : []),
        {
          name: 'Private',
          subnetType: create === 'nat' ? SubnetType.PRIVATE_WITH_EGRESS : SubnetType.PRIVATE_ISOLATED,
        },
      ],
    });
    if (create === 'endpoints') this.#addEndpoints(vpc, fleet);
    return vpc;
  }

  /** Only services that the fleet uses: each costs by the hour. */
  #addEndpoints(vpc: IVpc, fleet: Fleet): void {
    const urls = usedDatabases(fleet, 'all').map(({ url }) => url);
    const uses = (kind: string) => urls.some((url) => typeof url !== 'string' && url.kind === kind);
    const hasNotifier = fleet.aws.notifier === 'fargate';
    const services = [
      ['Queue', InterfaceVpcEndpointAwsService.SQS, true],
      // What functions log Lambda takes to CloudWatch itself.
      ['Logs', InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS, hasNotifier],
      ['Secrets', InterfaceVpcEndpointAwsService.SECRETS_MANAGER, uses('secret')],
      ['Parameters', InterfaceVpcEndpointAwsService.SSM, uses('parameter')],
      ['Events', InterfaceVpcEndpointAwsService.EVENTBRIDGE, fleet.aws.events],
      ['Images', InterfaceVpcEndpointAwsService.ECR, hasNotifier],
      ['ImageLayers', InterfaceVpcEndpointAwsService.ECR_DOCKER, hasNotifier],
    ] as const;
    for (const [id, service, wanted] of services) {
      if (!wanted) continue;
      const group = new SecurityGroup(this, `${id}EndpointGroup`, {
        vpc,
        description: `Reaches ${id.toLowerCase()} of AWS from within the network`,
        allowAllOutbound: false,
      });
      group.addIngressRule(Peer.ipv4(CIDR), Port.tcp(HTTPS_PORT), 'functions and notifier');
      new InterfaceVpcEndpoint(this, `${id}Endpoint`, { vpc, service, securityGroups: [group], open: false });
    }
    // Layers of the image come from S3, and there CloudFormation waits for the answer of apply. This kind of endpoint costs nothing.
    if (hasNotifier || fleet.aws.applyOnDeploy) {
      vpc.addGatewayEndpoint('Storage', { service: GatewayVpcEndpointAwsService.S3 });
    }
  }

  #securityGroup(id: string, vpc: IVpc, fleet: Fleet, use: DatabaseUse): SecurityGroup {
    const group = new SecurityGroup(this, `${id}Group`, {
      vpc,
      description: `${id} of the ${fleet.name} fleet: to databases and AWS, and nothing in`,
      allowAllOutbound: false,
    });
    const ports = new Set([HTTPS_PORT, ...usedDatabases(fleet, use).map(portOf)]);
    for (const port of ports) {
      group.addEgressRule(Peer.anyIpv4(), Port.tcp(port), port === HTTPS_PORT ? 'AWS' : 'databases');
    }
    return group;
  }

  /** Databases that share a group and a port share the rule: CloudFormation refuses the same one twice. */
  #letIn(fleet: Fleet, id: string, group: SecurityGroup, use: DatabaseUse): void {
    const doors = new Map(
      usedDatabases(fleet, use).flatMap((database) => {
        const { securityGroup } = database;
        const port = portOf(database);
        return securityGroup === undefined
          ? []
          : [[`${securityGroup}From${id}To${port}`, { securityGroup, port }] as const];
      }),
    );
    for (const [rule, { securityGroup, port }] of doors) {
      new CfnSecurityGroupIngress(this, rule, {
        groupId: securityGroup,
        ipProtocol: 'tcp',
        fromPort: port,
        toPort: port,
        sourceSecurityGroupId: group.securityGroupId,
        description: `${id} of the ${fleet.name} fleet of Bucardo Serverless`,
      });
    }
  }
}

function makeVpc(scope: Construct, props: VpcProps): IVpc {
  // The CDK's own types do not agree under `exactOptionalPropertyTypes`: an optional id that may be undefined.
  return new Vpc(scope, 'Vpc', {
    // Emptying the default group takes a function with rights of its own, and nothing here is ever in that group.
    restrictDefaultSecurityGroup: false,
    ...props,
  }) as IVpc;
}

/** Isolated subnets will do where there are no others: AWS's services may be reached by endpoints. */
function privateSubnetType(vpc: IVpc): SubnetType {
  if (vpc.privateSubnets.length > 0) return SubnetType.PRIVATE_WITH_EGRESS;
  if (vpc.isolatedSubnets.length > 0) return SubnetType.PRIVATE_ISOLATED;
  throw new Error(
    `The VPC ${vpc.vpcId} has public subnets only, in which functions reach nothing outside of the VPC, AWS included. ` +
      `Name one with private subnets in aws.network, or leave network out if the databases are reached over the internet.`,
  );
}

/** A URL behind a reference is not known here; it is then taken to have the usual port. */
function portOf({ url }: Database): number {
  if (typeof url !== 'string' || !URL.canParse(url)) return POSTGRES_PORT;
  const { port } = new URL(url);
  return port === '' ? POSTGRES_PORT : Number(port);
}
