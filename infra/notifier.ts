/**
 * The notifier as a Fargate service: one task of the smallest size. While it is replaced the new task runs beside the old one, and the
 * old one is stopped only when the new one is healthy: there are two for a while, and never none.
 *
 * Why that loses no wake-up: whoever begins kicks every lane, each hears every notification and keeps its own account of what it has
 * kicked, and a kick too many does no harm. They share only the flag. One may disarm it while the other sleeps; then the
 * one that did looks again, or, when it ends, wakes the other. If it is killed in between, the other's next look finds the
 * flag disarmed, arms it, and kicks for what was written meanwhile: five seconds late at most (heartbeatMs in notifier/timing.ts).
 */
import { DockerImage, Duration, AssetStaging, AssetHashType, RemovalPolicy, Stack } from 'aws-cdk-lib';
import {
  Cluster,
  ContainerImage,
  CpuArchitecture,
  FargatePlatformVersion,
  FargateService,
  FargateTaskDefinition,
  type ICluster,
  LogDrivers,
  OperatingSystemFamily,
} from 'aws-cdk-lib/aws-ecs';
import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import type { IGrantable } from 'aws-cdk-lib/aws-iam';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { dirname } from 'node:path';
import type { Fleet } from '../shared/config/types.ts';
import { programFile } from './bundle.ts';
import type { FleetNetwork } from './network.ts';
import { writeNotifierContext } from './notifier-image.ts';

export interface NotifierServiceProps {
  readonly fleet: Fleet;
  readonly configFile: string;
  readonly network: FleetNetwork;
  readonly kickQueue: IQueue;
  readonly logRetention: RetentionDays;
  /** Gives the task what it needs to reach the databases that it listens to. */
  readonly grantDatabases: (grantee: IGrantable) => void;
}

/** Fargate's smallest: a quarter of a processor and 512 MiB. The notifier holds about 100 MiB. */
const CPU_UNITS = 256;
const MEMORY_MIB = 512;

const HEALTH_PORT = 8080;

/** The notifier is gone within 4.5 seconds of SIGTERM; see notifier/run.ts. */
const STOP_TIMEOUT_SECONDS = 10;

const NON_ROOT = '65532:65532';

export class NotifierService extends Construct {
  readonly service: FargateService;

  constructor(scope: Construct, id: string, props: NotifierServiceProps) {
    super(scope, id);
    const { fleet, network, kickQueue, logRetention, grantDatabases } = props;
    const placement = network.notifierPlacement;
    if (placement === undefined) throw new Error('the fleet’s configuration has no notifier here');
    const logs = new LogGroup(this, 'Logs', {
      retention: logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const task = new FargateTaskDefinition(this, 'Task', {
      cpu: CPU_UNITS,
      memoryLimitMiB: MEMORY_MIB,
      runtimePlatform: {
        cpuArchitecture: CpuArchitecture.ARM64,
        operatingSystemFamily: OperatingSystemFamily.LINUX,
      },
    });
    task.addContainer('notifier', {
      image: ContainerImage.fromAsset(this.#imageContext(fleet, props.configFile), {
        platform: Platform.LINUX_ARM64,
      }),
      logging: LogDrivers.awsLogs({ logGroup: logs, streamPrefix: 'notifier' }),
      environment: {
        AWS_REGION: Stack.of(this).region,
        BUCARDO_FLEET: fleet.name,
        BUCARDO_QUEUE_URL: kickQueue.queueUrl,
        BUCARDO_HEALTH_PORT: String(HEALTH_PORT),
        LOG_LEVEL: 'info',
      },
      readonlyRootFilesystem: true,
      user: NON_ROOT,
      stopTimeout: Duration.seconds(STOP_TIMEOUT_SECONDS),
      healthCheck: {
        command: ['CMD', '/nodejs/bin/node', '/app/health.mjs'],
        interval: Duration.seconds(15),
        timeout: Duration.seconds(5),
        retries: 3,
        startPeriod: Duration.seconds(30),
      },
    });
    kickQueue.grantSendMessages(task.taskRole);
    grantDatabases(task.taskRole);
    this.service = new FargateService(this, 'Service', {
      // The CDK's own types do not agree under `exactOptionalPropertyTypes`.
      cluster: new Cluster(this, 'Cluster', { vpc: placement.vpc }) as ICluster,
      taskDefinition: task,
      platformVersion: FargatePlatformVersion.LATEST,
      desiredCount: 1,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      circuitBreaker: { rollback: true },
      vpcSubnets: placement.vpcSubnets,
      securityGroups: [...placement.securityGroups],
      assignPublicIp: placement.assignPublicIp,
    });
  }

  /** Staged like a function's code: bundled when the app is synthesised, by esbuild in this process. */
  #imageContext(fleet: Fleet, configFile: string): string {
    const staging = new AssetStaging(this, 'Image', {
      sourcePath: dirname(programFile('notifier/main')),
      assetHashType: AssetHashType.OUTPUT,
      bundling: {
        image: DockerImage.fromRegistry('unused'),
        environment: { configFile, program: 'notifier' },
        local: {
          tryBundle(outDir: string) {
            writeNotifierContext({ fleet, configFile, outDir });
            return true;
          },
        },
      },
    });
    return staging.absoluteStagedPath;
  }
}
