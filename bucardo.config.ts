import { defineConfig, secret } from './shared/config/index.ts';

/**
 * The fleet of this checkout: an example until edited. In a project of its own, import from 'bucardo-serverless' instead.
 * `npx bucardo init` writes a file like this one; docs/3-configuration.md explains every key.
 */
export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop') },
    reports: { engine: 'postgres', url: secret('bucardo/reports') },
    archive: { engine: 'postgres', url: secret('bucardo/archive') },
  },
  syncs: {
    everything: {
      sources: ['shop'],
      targets: ['reports', 'archive'],
      tables: ['public.*'],
      exclude: ['public.session*'],
      schedule: 'rate(15 minutes)',
    },
  },
});
