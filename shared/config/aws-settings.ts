/** The deployment's settings with every default filled in. */
import type { AwsConfig, AwsSettings } from './types.ts';

/** A quarter of an hour: longer than any run, and than a database takes to restart. */
const DEFAULT_LAG_ALARM_SECONDS = 900;
const DEFAULT_LOG_RETENTION_DAYS = 30;

export function toAwsSettings(given: AwsConfig): AwsSettings {
  return {
    network: given.network ?? 'public',
    notifier: given.notifier ?? 'fargate',
    alarmTopicArn: given.alarmTopicArn,
    alarmEmail: given.alarmEmail,
    lagAlarmSeconds: given.lagAlarmSeconds ?? DEFAULT_LAG_ALARM_SECONDS,
    events: given.events ?? false,
    logRetentionDays: given.logRetentionDays ?? DEFAULT_LOG_RETENTION_DAYS,
    tracing: given.tracing ?? false,
    kmsKeyArn: given.kmsKeyArn,
    applyOnDeploy: given.applyOnDeploy ?? false,
  };
}

/** Of a configuration that says nothing about AWS. */
export const DEFAULT_AWS_SETTINGS: AwsSettings = toAwsSettings({});
