/** The settings of a deployment: what each may be, what is said of what it may not be, and what holds without them. */
import { expect, test } from 'vitest';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

type Loose = Record<string, unknown>;

const postgres = { engine: 'postgres', url: { kind: 'parameter', name: '/bucardo/shop' } };

const config = (aws: unknown, shop: Loose = {}, sync: Loose = {}): Loose => ({
  databases: {
    shop: { ...postgres, ...shop },
    reports: { ...postgres, url: { kind: 'env', name: 'REPORTS' } },
  },
  syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'], ...sync } },
  ...(aws === undefined ? {} : { aws }),
});

function problemsOf(input: Loose): readonly { readonly path: string; readonly text: string }[] {
  try {
    validateConfig(input, 'bucardo.config.ts');
  } catch (error) {
    if (error instanceof BucardoError) return error.problems;
    throw error;
  }
  return [];
}

const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:alarms';
const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/0123-4567';

test('without settings there is a public network, a notifier, alarms that tell nobody, and a month of logs', () => {
  expect(validateConfig(config(undefined), 'x').aws).toEqual({
    network: 'public',
    notifier: 'fargate',
    alarmTopicArn: undefined,
    alarmEmail: undefined,
    lagAlarmSeconds: 900,
    events: false,
    logRetentionDays: 30,
    tracing: false,
    kmsKeyArn: undefined,
    applyOnDeploy: false,
  });
});

test('what a configuration says is what is deployed', () => {
  const aws = {
    network: { vpcId: 'vpc-0123456789abcdef0' },
    notifier: 'none',
    alarmTopicArn: TOPIC,
    lagAlarmSeconds: 60,
    events: true,
    logRetentionDays: 731,
    tracing: true,
    kmsKeyArn: KEY,
    applyOnDeploy: true,
  };
  const shop = {
    maxConnections: 8,
    securityGroup: 'sg-01234567',
    iam: { user: 'app', resourceId: 'cluster-ABC' },
  };
  const fleet = validateConfig(config(aws, shop, { lagAlarmSeconds: 86_400 }), 'x');
  expect(fleet.aws).toEqual({ ...aws, alarmEmail: undefined });
  expect(fleet.databases.get('shop')).toMatchObject(shop);
  expect(fleet.syncs.get('orders')).toMatchObject({ lagAlarmSeconds: 86_400 });
});

test.each([['public'], [{ vpcId: 'vpc-01234567' }], [{ create: 'nat' }], [{ create: 'endpoints' }]])(
  'network %j',
  (network) => {
    expect(validateConfig(config({ network }), 'x').aws.network).toEqual(network);
  },
);

const mistakes: readonly (readonly [string, Loose, string, RegExp])[] = [
  ['no object', config('eu-west-1'), 'aws', /must be an object such as .*alarmEmail.*not a string/],
  ['an unknown key', config({ alarmMail: 'a@b.c' }), 'aws.alarmMail', /did you mean 'alarmEmail'/],
  ['no network', config({ network: 'private' }), 'aws.network', /must be 'public', \{ vpcId.*not a string/],
  ['two networks', config({ network: { vpcId: 'vpc-01234567', create: 'nat' } }), 'aws.network', /must be/],
  [
    'a network of no kind',
    config({ network: { create: 'vpn' } }),
    'aws.network',
    /\{ create: 'endpoints' \}/,
  ],
  ['a VPC by its name', config({ network: { vpcId: 'main' } }), 'aws.network', /write \{ vpcId: 'vpc-…' \}/],
  ['another notifier', config({ notifier: 'ec2' }), 'aws.notifier', /'fargate' or 'none'/],
  [
    'a topic by its name',
    config({ alarmTopicArn: 'alarms' }),
    'aws.alarmTopicArn',
    /write one such as 'arn:aws:sns/,
  ],
  [
    'a queue as topic',
    config({ alarmTopicArn: TOPIC.replace('sns', 'sqs') }),
    'aws.alarmTopicArn',
    /such as/,
  ],
  [
    'a key by its alias',
    config({ kmsKeyArn: KEY.replace('key/0123-4567', 'alias/main') }),
    'aws.kmsKeyArn',
    /:key\//,
  ],
  ['no address', config({ alarmEmail: 'ops' }), 'aws.alarmEmail', /is no e-mail address/],
  [
    'an address beside a topic',
    config({ alarmEmail: 'ops@example.com', alarmTopicArn: TOPIC }),
    'aws.alarmEmail',
    /keep one of the two/,
  ],
  ['a lag under a minute', config({ lagAlarmSeconds: 59 }), 'aws.lagAlarmSeconds', /from 60 to 86400/],
  ['a lag of text', config({ lagAlarmSeconds: '60' }), 'aws.lagAlarmSeconds', /whole number of seconds/],
  ['a week and a day of logs', config({ logRetentionDays: 8 }), 'aws.logRetentionDays', /1, 3, 5, 7, 14/],
  ['tracing of text', config({ tracing: 'yes' }), 'aws.tracing', /must be true or false, not a string/],
  [
    'a sync’s lag of a week',
    config({}, {}, { lagAlarmSeconds: 604_800 }),
    'syncs.orders.lagAlarmSeconds',
    /from 60/,
  ],
  [
    'too few connections to work',
    config({}, { maxConnections: 7 }),
    'databases.shop.maxConnections',
    /from 8, with which/,
  ],
  [
    'a group by its name',
    config({}, { securityGroup: 'db' }),
    'databases.shop.securityGroup',
    /write 'sg-…'/,
  ],
  [
    'a login without a resource',
    config({}, { iam: { user: 'app' } }),
    'databases.shop.iam',
    /has no resource id/,
  ],
  [
    'a login of no user',
    config({}, { iam: { user: '', resourceId: 'db-A' } }),
    'databases.shop.iam',
    /must be \{ user/,
  ],
  [
    'a login with more',
    config({}, { iam: { user: 'a', resourceId: 'db-A', port: 1 } }),
    'databases.shop.iam',
    /must be/,
  ],
];

test.each(mistakes)('%s', (_name, input, path, text) => {
  const problems = problemsOf(input);
  expect(problems.map((problem) => problem.path)).toEqual([path]);
  expect(problems[0]?.text).toMatch(text);
});
