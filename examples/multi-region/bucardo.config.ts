import { defineConfig, secret } from 'bucardo-serverless';

/**
 * One source, read copies in two more regions. The fleet is deployed in the source's region, where most round trips are; only
 * batches of rows cross regions.
 */
export default defineConfig({
  fleet: 'catalogue',
  databases: {
    ireland: { engine: 'postgres', url: secret('bucardo/ireland') },
    virginia: { engine: 'postgres', url: secret('bucardo/virginia') },
    sydney: { engine: 'postgres', url: secret('bucardo/sydney') },
  },
  syncs: {
    catalogue: {
      sources: ['ireland'],
      targets: ['virginia', 'sydney'],
      tables: ['catalogue.*'],
      schedule: 'rate(1 hour)',
      lagAlarmSeconds: 300,
    },
  },
});
