import { defineConfig, secret } from 'bucardo-serverless';

/** The same for every stage: what differs are the secrets, which each stage's account has under the same names. */
export default defineConfig({
  fleet: 'shop',
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop') },
    reports: { engine: 'postgres', url: secret('bucardo/reports') },
  },
  syncs: {
    orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] },
  },
  // Nobody runs `bucardo apply` in a pipeline.
  aws: { applyOnDeploy: true },
});
