import { defineConfig, env } from './shared/config/index.ts';

/**
 * The fleet of this checkout: an example until edited. In a project of its own, import from 'bucardo-serverless' instead.
 * `npx bucardo init` writes a file like this one; docs/3-configuration.md explains every key.
 */
export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: env('SHOP_URL') },
    reports: { engine: 'postgres', url: env('REPORTS_URL') },
    archive: { engine: 'postgres', url: env('ARCHIVE_URL') },
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
