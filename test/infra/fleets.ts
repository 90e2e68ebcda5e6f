/** Configurations that the tests of infra/ synthesise: from the least to everything. Texts, as a person writes them. */

export const MINIMAL = `{
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop') },
    reports: { engine: 'postgres', url: secret('bucardo/reports') },
  },
  syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
}`;

/** Every kind of reference, schedules shared and not, a VPC of its own, every switch on. */
export const EVERYTHING = `{
  fleet: 'everything',
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop', { field: 'url' }), maxConnections: 30, securityGroup: 'sg-0123456789abcdef0' },
    stock: { engine: 'postgres', url: parameter('/bucardo/stock'), wake: 'poll' },
    reports: {
      engine: 'postgres',
      url: 'postgres://reports.abc.eu-west-1.rds.amazonaws.com:5433/reports',
      iam: { user: 'replicator', resourceId: 'db-ABCDEFGHIJKL' },
    },
    archive: { engine: 'postgres', url: secret('arn:aws:secretsmanager:eu-west-1:123456789012:secret:archive-AbCdEf') },
  },
  syncs: {
    orders: { sources: ['shop'], targets: ['reports', 'archive'], tables: ['public.*'], schedule: 'rate(5 minutes)', lagAlarmSeconds: 120 },
    stock: { sources: ['stock'], targets: ['reports'], tables: ['stock.*'], schedule: 'rate(5 minutes)' },
    nightly: { sources: ['shop'], targets: ['archive'], tables: ['logs.*'], schedule: 'cron(0 3 * * ? *)', autokick: false },
    demand: { sources: ['stock'], targets: ['archive'], tables: ['rare.*'], autokick: false },
  },
  aws: {
    network: { create: 'endpoints' },
    alarmEmail: 'ops@example.com',
    lagAlarmSeconds: 300,
    events: true,
    logRetentionDays: 90,
    tracing: true,
    kmsKeyArn: 'arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef',
    applyOnDeploy: true,
  },
}`;

export const EXISTING_VPC = `{
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop'), securityGroup: 'sg-0123456789abcdef0' },
    reports: { engine: 'postgres', url: secret('bucardo/reports') },
  },
  syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
  aws: { network: { vpcId: 'vpc-0123456789abcdef0' }, notifier: 'none' },
}`;

/** @param lagAlarms whether each sync wants an alarm of its own */
export function manySyncs(count: number, lagAlarms = false): string {
  const syncs = Array.from({ length: count }, (_, index) => {
    const alarm = lagAlarms ? ', lagAlarmSeconds: 120' : '';
    return `s${index}: { sources: ['source${index % 10}'], targets: ['target${index % 15}'], tables: ['schema${index}.*'], schedule: 'rate(${(index % 5) + 2} minutes)'${alarm} }`;
  });
  const databases = [
    ...Array.from({ length: 10 }, (_, index) => `source${index}`),
    ...Array.from({ length: 15 }, (_, index) => `target${index}`),
  ].map((name) => `${name}: { engine: 'postgres', url: secret('bucardo/${name}') }`);
  return `{ databases: { ${databases.join(', ')} }, syncs: { ${syncs.join(',\n')} } }`;
}
