/** The configuration that `bucardo init` writes: correct as it stands, and explained where people change it. */
export const CONFIG_TEMPLATE = `import { defineConfig, env } from 'bucardo-serverless';

/**
 * What is replicated, from where to where. After a change:
 *   npx bucardo config   tells what is wrong in this file, without connecting
 *   npx bucardo check    connects to every database and tells what is missing there
 *   npx bucardo apply    brings the sources up to date with this file
 */
export default defineConfig({
  databases: {
    // No password in this file: env('NAME') is looked up when a connection is made. On AWS use secret('name') of
    // Secrets Manager. The URLs have the form postgres://USER:PASSWORD@HOST:5432/DATABASE
    source: { engine: 'postgres', url: env('SOURCE_URL') },
    target: { engine: 'postgres', url: env('TARGET_URL') },
  },

  syncs: {
    // The name is yours: begin with a letter, then letters, digits and underscores.
    main: {
      sources: ['source'],
      // As many as you like; each is a lane of its own, and a slow one never delays another.
      targets: ['target'],

      // 'schema.table', or * for any run of characters. The tables must exist at the targets and have a key.
      tables: ['public.*'],
      // exclude: ['public.log_*'],

      // What is there before the first change: 'if-empty' copies it to tables that are empty at the target;
      // 'always' empties the target's tables first; 'never' replicates changes only.
      // copy: 'if-empty',

      // Changes start a run by themselves. A schedule adds runs; autokick: false leaves only these.
      // schedule: 'rate(5 minutes)',
      // autokick: true,
    },
  },
});
`;
