/**
 * List prices in us-east-1, in dollars, without free tiers and discounts. Sources: the price pages of the named services. They change:
 * look there before you rely on them.
 */
export const PRICES_AS_OF = '2026-11';

export const HOURS_PER_MONTH = 730;

export const PRICES = {
  /** aws.amazon.com/lambda/pricing: arm64, per second of 1 GiB; per request. */
  lambdaGibSecond: 0.0000133334,
  lambdaRequest: 0.2e-6,
  /** aws.amazon.com/sqs/pricing: FIFO, per request. */
  sqsRequest: 0.5e-6,
  /** aws.amazon.com/cloudwatch/pricing: per GB of logs taken in; per metric, alarm and dashboard, a month. */
  logsGb: 0.5,
  metricMonth: 0.3,
  alarmMonth: 0.1,
  dashboardMonth: 3,
  /** aws.amazon.com/fargate/pricing: arm64, per hour. */
  fargateCpuHour: 0.03238,
  fargateGbHour: 0.00356,
  /** aws.amazon.com/vpc/pricing: per hour. */
  publicAddressHour: 0.005,
  natHour: 0.045,
  endpointHour: 0.01,
} as const;
