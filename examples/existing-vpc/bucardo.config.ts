import { defineConfig } from 'bucardo-serverless';

/** Two RDS databases in a VPC that is there already: logins by IAM, so that there is no password anywhere. */
export default defineConfig({
  fleet: 'orders-production',
  databases: {
    shop: {
      engine: 'postgres',
      url: 'postgres://shop.abcdefghijkl.eu-west-1.rds.amazonaws.com:5432/shop',
      iam: { user: 'replicator', resourceId: 'db-ABCDEFGHIJKLMNOPQRSTUVWXYZ' },
      securityGroup: 'sg-0123456789abcdef0',
      maxConnections: 24,
    },
    reports: {
      engine: 'postgres',
      url: 'postgres://reports.abcdefghijkl.eu-west-1.rds.amazonaws.com:5432/reports',
      iam: { user: 'replicator', resourceId: 'db-ZYXWVUTSRQPONMLKJIHGFEDCBA' },
      securityGroup: 'sg-0fedcba9876543210',
    },
  },
  syncs: {
    orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'], lagAlarmSeconds: 120 },
  },
  aws: {
    network: { vpcId: 'vpc-0123456789abcdef0' },
    alarmEmail: 'oncall@example.com',
    applyOnDeploy: true,
  },
});
