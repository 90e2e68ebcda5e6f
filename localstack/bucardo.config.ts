import { defineConfig, secret } from '../shared/config/index.ts';

/** The fleet that `npm run localstack:deploy` deploys: between the two databases that `localstack:up` started. */
export default defineConfig({
  fleet: 'local',
  databases: {
    source: { engine: 'postgres', url: secret('bucardo/source') },
    target: { engine: 'postgres', url: secret('bucardo/target') },
  },
  syncs: {
    main: { sources: ['source'], targets: ['target'], tables: ['public.*'], schedule: 'rate(1 minute)' },
  },
  // It runs beside LocalStack, which has no Fargate.
  aws: { notifier: 'none' },
});
