/** What people are woken for: when, how, and that each alarm leads to its paragraph of the runbook. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, NestedStack, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2';
import {
  Cluster,
  ContainerImage,
  FargateService,
  FargateTaskDefinition,
  type ICluster,
} from 'aws-cdk-lib/aws-ecs';
import { Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { expect, test } from 'vitest';
import { FleetAlarms } from '../../infra/alarms.ts';
import { FleetDashboard } from '../../infra/dashboard.ts';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Fleet, Sync } from '../../shared/config/types.ts';
import {
  METRIC_COPIES_NEEDED,
  METRIC_LAG,
  METRIC_LANE_LAG,
  METRIC_NAMESPACE,
  METRIC_PURGE_FAILURES,
  METRIC_REJECTED_ROWS,
  METRIC_ROWS,
  METRIC_RUN_FAILURES,
  METRIC_RUN_SECONDS,
  METRIC_SOURCES_FAILED,
} from '../../shared/telemetry/metric-names.ts';
import { sourceSync } from '../support/captured-source.ts';
import {
  type CloudFormationTemplate,
  resourcesOf,
  synthesise,
  temporaryFolder,
} from '../support/synthesise.ts';
import { EVERYTHING } from './fleets.ts';

const RUNBOOK_URL = 'https://example.com/runbook.md';
const RUNBOOK = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');

/** As GitHub makes them of headings. */
const ANCHORS = [...RUNBOOK.matchAll(/^## (.+)$/gm)].map(([, heading = '']) =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-'),
);

interface AlarmProperties {
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly OKActions: readonly unknown[];
  readonly AlarmName?: string;
  readonly Threshold: number;
  readonly ComparisonOperator: string;
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm: number;
  readonly TreatMissingData: string;
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Statistic?: string;
  readonly Period?: number;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
  readonly Metrics?: readonly {
    readonly Expression?: string;
    readonly MetricStat?: { readonly Metric: { readonly MetricName: string }; readonly Stat: string };
  }[];
}

function syncOf(name: string, targets: readonly string[], lagAlarmSeconds?: number): Sync {
  const sync = sourceSync({ sync: name, targets });
  return lagAlarmSeconds === undefined ? sync : { ...sync, lagAlarmSeconds };
}

function fleetOf(...syncs: readonly Sync[]): Fleet {
  return {
    name: 'tested',
    aws: { ...DEFAULT_AWS_SETTINGS, lagAlarmSeconds: 300 },
    databases: new Map(),
    syncs: new Map(syncs.map((sync) => [sync.name, sync])),
  };
}

const FLEET = fleetOf(syncOf('orders', ['reports', 'archive'], 120), syncOf('stock', ['reports']));

interface Observed {
  readonly stack: Stack;
  readonly json: CloudFormationTemplate;
  /** By the name in the construct, which the logical id begins with. */
  readonly alarm: (name: string) => AlarmProperties;
}

/** Alarms and dashboard of plain queues and functions, without anything to bundle. */
function observe(fleet: Fleet, { notifier = true } = {}): Observed {
  const stack = new Stack(new App({ outdir: temporaryFolder('bucardo-alarms-') }), 'Tested');
  const makeFunction = (id: string): LambdaFunction =>
    new LambdaFunction(stack, id, {
      runtime: Runtime.NODEJS_24_X,
      handler: 'index.handler',
      code: Code.fromInline('exports.handler = async () => {}'),
      memorySize: 512,
    });
  const observed = {
    fleet,
    queue: new Queue(stack, 'Kicks', { fifo: true }),
    deadLetterQueue: new Queue(stack, 'Letters', { fifo: true }),
    functions: {
      replicate: makeFunction('Replicate'),
      sweep: makeFunction('Sweep'),
      kick: makeFunction('Kick'),
      deadLetter: makeFunction('DeadLetter'),
      operate: makeFunction('Operate'),
    },
    runbookUrl: RUNBOOK_URL,
  };
  const notifierService = notifier ? { notifierService: serviceIn(stack) } : {};
  // oxlint-disable-next-line no-new -- constructs belong to their stack
  new FleetAlarms(stack, 'Alarms', { ...observed, ...notifierService, topic: new Topic(stack, 'Topic') });
  // oxlint-disable-next-line no-new -- constructs belong to their stack
  new FleetDashboard(stack, 'Dashboard', { ...observed, sweepLogs: new LogGroup(stack, 'SweepLogs') });
  const json = Template.fromStack(stack).toJSON() as unknown as CloudFormationTemplate;
  const alarm = (name: string): AlarmProperties => {
    const found = alarmsOf(json).filter(([id]) => new RegExp(`^Alarms${name}[0-9A-F]{8}$`).test(id));
    expect(found, name).toHaveLength(1);
    return found[0]![1];
  };
  return { stack, json, alarm };
}

function serviceIn(stack: Stack): FargateService {
  const taskDefinition = new FargateTaskDefinition(stack, 'Task');
  taskDefinition.addContainer('notifier', { image: ContainerImage.fromRegistry('none') });
  // The CDK's own types do not agree under `exactOptionalPropertyTypes`.
  const vpc = new Vpc(stack, 'Vpc', { natGateways: 0 }) as IVpc;
  const cluster = new Cluster(stack, 'Cluster', { vpc });
  return new FargateService(stack, 'Service', { cluster: cluster as ICluster, taskDefinition });
}

function alarmsOf(json: CloudFormationTemplate): readonly (readonly [string, AlarmProperties])[] {
  return resourcesOf(json, 'AWS::CloudWatch::Alarm').map(([id, { Properties }]) => [
    id,
    Properties as unknown as AlarmProperties,
  ]);
}

/** A dashboard's body as text: what is known at deployment only is left out. */
function dashboardOf(json: CloudFormationTemplate): string {
  const [dashboard] = resourcesOf(json, 'AWS::CloudWatch::Dashboard');
  const { DashboardBody } = dashboard![1].Properties as {
    DashboardBody: { 'Fn::Join': [string, readonly unknown[]] };
  };
  return DashboardBody['Fn::Join'][1].map((part) => (typeof part === 'string' ? part : 'TOKEN')).join('');
}

interface Widget {
  readonly type: string;
  readonly properties: {
    readonly title?: string;
    readonly query?: string;
    readonly markdown?: string;
    readonly metrics?: readonly (readonly (
      | string
      | { readonly expression?: string; readonly stat?: string }
    )[])[];
  };
}

function widgetsOf(json: CloudFormationTemplate): readonly Widget[] {
  return (JSON.parse(dashboardOf(json)) as { widgets: Widget[] }).widgets;
}

const FLEET_OBSERVED = observe(FLEET);

const FUNCTIONS = ['Replicate', 'Sweep', 'Kick', 'DeadLetter', 'Operate'];

test.each<[name: string, wanted: Partial<AlarmProperties>]>([
  ['DeadLetters', { Threshold: 1, EvaluationPeriods: 1, TreatMissingData: 'notBreaching' }],
  [
    'OldestKick',
    {
      Threshold: 1_800,
      ComparisonOperator: 'GreaterThanThreshold',
      EvaluationPeriods: 5,
      TreatMissingData: 'notBreaching',
      MetricName: 'ApproximateAgeOfOldestMessage',
    },
  ],
  [
    'Lag',
    {
      Threshold: 300,
      ComparisonOperator: 'GreaterThanThreshold',
      EvaluationPeriods: 3,
      DatapointsToAlarm: 3,
      TreatMissingData: 'ignore',
      MetricName: METRIC_LAG,
      Statistic: 'Maximum',
      Dimensions: [{ Name: 'service', Value: 'tested' }],
    },
  ],
  ['RejectedRows', { Threshold: 1, TreatMissingData: 'ignore', MetricName: METRIC_REJECTED_ROWS }],
  ['CopiesNeeded', { Threshold: 1, TreatMissingData: 'ignore', MetricName: METRIC_COPIES_NEEDED }],
  [
    'PurgeFailures',
    { Threshold: 1, EvaluationPeriods: 15, TreatMissingData: 'ignore', MetricName: METRIC_PURGE_FAILURES },
  ],
  [
    'SourcesFailed',
    { Threshold: 1, EvaluationPeriods: 5, TreatMissingData: 'ignore', MetricName: METRIC_SOURCES_FAILED },
  ],
  [
    'SweepNotSucceeding',
    {
      Threshold: 1,
      ComparisonOperator: 'LessThanThreshold',
      EvaluationPeriods: 5,
      DatapointsToAlarm: 5,
      TreatMissingData: 'breaching',
    },
  ],
  [
    'NotifierNotRunning',
    {
      Threshold: 1,
      ComparisonOperator: 'LessThanThreshold',
      EvaluationPeriods: 5,
      TreatMissingData: 'breaching',
      Namespace: 'AWS/ECS',
      MetricName: 'CPUUtilization',
      Statistic: 'SampleCount',
    },
  ],
  ...FUNCTIONS.flatMap((name) =>
    ['Errors', 'Throttles'].map((metric): [string, Partial<AlarmProperties>] => [
      `${name}${metric}`,
      {
        Threshold: 1,
        EvaluationPeriods: 15,
        DatapointsToAlarm: 3,
        TreatMissingData: 'notBreaching',
        MetricName: metric,
        Namespace: 'AWS/Lambda',
      },
    ]),
  ),
  ...['reports', 'archive'].map((destination): [string, Partial<AlarmProperties>] => [
    `Lanesorders${destination}`,
    {
      Threshold: 120,
      ComparisonOperator: 'GreaterThanThreshold',
      EvaluationPeriods: 3,
      TreatMissingData: 'ignore',
      MetricName: METRIC_LANE_LAG,
      Dimensions: [
        { Name: 'destination', Value: destination },
        { Name: 'service', Value: 'tested' },
        { Name: 'sync', Value: 'orders' },
      ],
    },
  ]),
])('the alarm %s goes when it should, and tells of its beginning and its end', (name, wanted) => {
  const { json, alarm } = FLEET_OBSERVED;
  const topic = { Ref: resourcesOf(json, 'AWS::SNS::Topic')[0]?.[0] };
  expect(alarm(name)).toMatchObject({ ...wanted, AlarmActions: [topic], OKActions: [topic] });
  expect(alarm(name).Period ?? 60).toBe(60);
});

test('there is no alarm that no test here knows', () => {
  const { json } = FLEET_OBSERVED;
  expect(alarmsOf(json)).toHaveLength(9 + 2 * FUNCTIONS.length + 2);
  // Who runs the notifier elsewhere watches it there.
  expect(alarmsOf(observe(FLEET, { notifier: false }).json)).toHaveLength(8 + 2 * FUNCTIONS.length + 2);
});

test('dead letters count while they wait hidden, and a sweep only if it did not fail', () => {
  const metricsOf = (name: string) => {
    const { Metrics = [] } = FLEET_OBSERVED.alarm(name);
    const names = Metrics.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric.MetricName] : []));
    return [Metrics.find(({ Expression }) => Expression !== undefined)?.Expression, ...names];
  };
  expect(metricsOf('DeadLetters')).toEqual([
    'visible + hidden',
    'ApproximateNumberOfMessagesVisible',
    'ApproximateNumberOfMessagesNotVisible',
  ]);
  expect(metricsOf('SweepNotSucceeding')).toEqual(['invocations - errors', 'Invocations', 'Errors']);
});

test('every alarm has a sentence and a paragraph of the runbook, and every paragraph belongs to an alarm', () => {
  const used = alarmsOf(FLEET_OBSERVED.json).map(([id, { AlarmDescription }]) => {
    const [, anchor = ''] =
      /^[A-Z].*[.] https:\/\/example\.com\/runbook\.md#([a-z-]+)$/.exec(AlarmDescription) ?? [];
    expect(ANCHORS, `${id}: ${AlarmDescription}`).toContain(anchor);
    return anchor;
  });
  expect([...new Set(used)].toSorted()).toEqual(ANCHORS.toSorted());
});

test('a whole fleet’s alarms link to the runbook, and neither they nor the dashboard have a name', () => {
  const { json } = synthesise(EVERYTHING);
  const alarms = alarmsOf(json);
  expect(alarms).toHaveLength(9 + 2 * FUNCTIONS.length + 2);
  for (const [id, { AlarmName, AlarmDescription }] of alarms) {
    expect(AlarmName, id).toBeUndefined();
    expect(AlarmDescription, id).toMatch(/ https:\S+\/docs\/runbook\.md#[a-z-]+$/);
  }
  for (const [, { Properties = {} }] of resourcesOf(json, 'AWS::CloudWatch::Dashboard'))
    expect(Properties).not.toHaveProperty('DashboardName');
});

/** CloudFormation's own, for each template. */
const MOST_RESOURCES = 500;
const MOST_BYTES = 1_000_000;

test.each([
  [100, []],
  [450, [200, 200, 50]],
])('%i lanes with alarms of their own fit into stacks that CloudFormation takes', (count, sizes) => {
  const targets = Array.from({ length: count }, (_, index) => `target${index}`);
  const { stack, json } = observe(fleetOf(syncOf('orders', targets, 60)));
  const templates = stack.node
    .findAll()
    .filter((child) => child instanceof NestedStack)
    .map((child) => Template.fromStack(child).toJSON() as unknown as CloudFormationTemplate);
  expect(templates.map((template) => alarmsOf(template).length)).toEqual(sizes);
  for (const template of [json, ...templates]) {
    expect(Object.keys(template.Resources).length).toBeLessThan(MOST_RESOURCES);
    expect(JSON.stringify(template).length).toBeLessThan(MOST_BYTES);
    for (const [id, { AlarmName, AlarmActions }] of alarmsOf(template)) {
      expect(AlarmName, id).toBeUndefined();
      expect(AlarmActions, id).toHaveLength(1);
    }
  }
});

test('lanes whose names run into each other have alarms each', () => {
  const { json } = observe(
    fleetOf(syncOf('a', ['bToc', 'b'], 60), syncOf('aTob', ['c'], 60), syncOf('ab', ['c'], 60)),
  );
  expect(alarmsOf(json).filter(([, { MetricName }]) => MetricName === METRIC_LANE_LAG)).toHaveLength(4);
});

test('the dashboard shows what is measured, by the names under which it is measured', () => {
  const text = dashboardOf(FLEET_OBSERVED.json);
  for (const name of [
    METRIC_COPIES_NEEDED,
    METRIC_PURGE_FAILURES,
    METRIC_LAG,
    METRIC_REJECTED_ROWS,
    METRIC_ROWS,
    METRIC_RUN_FAILURES,
    METRIC_RUN_SECONDS,
    METRIC_SOURCES_FAILED,
  ])
    expect(text).toContain(`["${METRIC_NAMESPACE}","${name}","service","tested"`);
  const widgets = widgetsOf(FLEET_OBSERVED.json);
  expect(widgets.find(({ type }) => type === 'text')?.properties.markdown).toContain(`(${RUNBOOK_URL})`);
  expect(widgets.find(({ type }) => type === 'log')?.properties.query).toContain(
    "filter event = 'sweep.lane.measured'",
  );
});

test('what the runbook says to look at on the dashboard is there', () => {
  const titles = widgetsOf(FLEET_OBSERVED.json).map(({ properties }) => properties.title);
  const wanted = [...RUNBOOK.matchAll(/"([^"]+)"/g)].map(([, title]) => title);
  expect(wanted).not.toEqual([]);
  for (const title of wanted) expect(titles).toContain(title);
});

test('the dashboard finds lanes with alarms of their own by itself, and does not grow with them', () => {
  const searches = (fleet: Fleet) => dashboardOf(observe(fleet).json).match(/SEARCH\('[^']*'/g) ?? [];
  const wanted = [
    `SEARCH('{Bucardo,service,sync,destination} MetricName=\\"LaneLagSeconds\\" service=\\"tested\\"'`,
  ];
  expect(searches(FLEET)).toEqual(wanted);
  expect(searches(fleetOf(syncOf('orders', ['a', 'b', 'c'], 60)))).toEqual(wanted);
  expect(searches(fleetOf(syncOf('orders', ['a', 'b', 'c'])))).toEqual([]);
});

test('the dashboard’s cost is called an estimate, and is dollars an hour at list prices', () => {
  const cost = widgetsOf(FLEET_OBSERVED.json).find(({ properties }) => /cost/.test(properties.title ?? ''));
  expect(cost?.properties.title).toMatch(/^Estimated .*\$ an hour, list prices/);
  const expression = (cost?.properties.metrics ?? [])
    .flat()
    .flatMap((part) => (typeof part === 'object' && part.expression !== undefined ? [part.expression] : []))
    .join();
  const [, sum = '', rest] = /^\((.*)\) (\/ 1000000.*)$/.exec(expression) ?? [];
  expect(rest).toBe('/ 1000000 / PERIOD(m0) * 3600');
  const prices = sum.split(' + ').map((term) => Number(/^FILL\(m\d+, 0\) \* ([\d.]+)$/.exec(term)?.[1]));
  // Five functions of 512 MiB, their time in milliseconds; two queues with four kinds of requests.
  const ofFunction = [0.2, (0.5 * 13.3334) / 1000];
  const wanted = [
    ...Array.from({ length: 5 }, () => ofFunction).flat(),
    ...Array.from({ length: 8 }, () => 0.5),
  ];
  expect(prices.map((price) => price.toFixed(9))).toEqual(wanted.map((price) => price.toFixed(9)));
});
