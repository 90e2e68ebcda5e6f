/** The shape of the configuration's key `aws`: how the fleet is deployed. Messages as in schema.ts. */
import * as v from 'valibot';
import { isPlainObject } from './kind-of.ts';
import { flag, judged, judgedText, section, wanted } from './schema-parts.ts';
import type { AwsConfig } from './types.ts';

/** What CloudWatch Logs allows. Source: its API reference, PutRetentionPolicy. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** Metrics come once a minute. */
const LEAST_LAG_ALARM_SECONDS = 60;
const GREATEST_LAG_ALARM_SECONDS = 86_400;

const NETWORKS = "'public', { vpcId: 'vpc-…' }, { create: 'nat' } or { create: 'endpoints' }";

function networkProblem(input: unknown): string | undefined {
  if (input === 'public') return undefined;
  if (!isPlainObject(input) || Object.keys(input).length !== 1) return wanted(NETWORKS, input);
  const { vpcId, create } = input;
  if (typeof vpcId === 'string') {
    return /^vpc-[0-9a-f]{8,17}$/.test(vpcId) ? undefined : "names no VPC; write { vpcId: 'vpc-…' }";
  }
  return create === 'nat' || create === 'endpoints' ? undefined : `must be ${NETWORKS}`;
}

/** @param resource pattern of the ARN's last part */
function arn(service: string, resource: string, example: string) {
  const shape = new RegExp(`^arn:aws(-[a-z]+)*:${service}:[a-z0-9-]+:\\d{12}:${resource}$`);
  return judgedText(`an ARN such as '${example}'`, (text) =>
    shape.test(text) ? undefined : `is no such ARN; write one such as '${example}'`,
  );
}

const topicArn = arn('sns', '[\\w-]{1,256}', 'arn:aws:sns:eu-west-1:123456789012:alarms');
/** An alias does not say which key it stands for, so no right to the key could be granted. */
const keyArn = arn('kms', 'key/[\\w-]+', 'arn:aws:kms:eu-west-1:123456789012:key/…');

export function lagAlarmProblem(input: unknown): string | undefined {
  return typeof input === 'number' &&
    Number.isInteger(input) &&
    input >= LEAST_LAG_ALARM_SECONDS &&
    input <= GREATEST_LAG_ALARM_SECONDS
    ? undefined
    : `must be a whole number of seconds from ${LEAST_LAG_ALARM_SECONDS} to ${GREATEST_LAG_ALARM_SECONDS}`;
}

function retentionProblem(input: unknown): string | undefined {
  return RETENTION_DAYS.some((days) => days === input)
    ? undefined
    : `must be a number of days that CloudWatch knows: ${RETENTION_DAYS.join(', ')}`;
}

const email = judgedText('an e-mail address', (text) =>
  /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(text) ? undefined : 'is no e-mail address',
);

export const awsSection = section("an object such as { alarmEmail: 'ops@example.com' }", {
  network: v.optional(judged<NonNullable<AwsConfig['network']>>(networkProblem)),
  notifier: v.optional(
    judgedText<'fargate' | 'none'>("'fargate' or 'none'", (text) =>
      text === 'fargate' || text === 'none' ? undefined : "must be 'fargate' or 'none'",
    ),
  ),
  alarmTopicArn: v.optional(topicArn),
  alarmEmail: v.optional(email),
  lagAlarmSeconds: v.optional(judged<number>(lagAlarmProblem)),
  events: v.optional(flag),
  logRetentionDays: v.optional(judged<number>(retentionProblem)),
  tracing: v.optional(flag),
  kmsKeyArn: v.optional(keyArn),
  applyOnDeploy: v.optional(flag),
});
