import { defineConfig, parameter } from 'bucardo-serverless';

/** Nothing runs by itself: `bucardo kick monthly --aws --wait`, or a function that invokes the kick function, says when. */
export default defineConfig({
  fleet: 'on-demand',
  databases: {
    books: { engine: 'postgres', url: parameter('/bucardo/books') },
    archive: { engine: 'postgres', url: parameter('/bucardo/archive') },
  },
  syncs: {
    monthly: { sources: ['books'], targets: ['archive'], tables: ['ledger.*'], autokick: false },
  },
  // Without changes that kick there is nothing to notify.
  aws: { notifier: 'none' },
});
