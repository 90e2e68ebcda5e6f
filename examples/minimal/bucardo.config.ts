import { defineConfig, secret } from 'bucardo-serverless';

/** The least: one source, one target, all tables of a schema. */
export default defineConfig({
  databases: {
    shop: { engine: 'postgres', url: secret('bucardo/shop') },
    reports: { engine: 'postgres', url: secret('bucardo/reports') },
  },
  syncs: {
    orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] },
  },
});
