/** The functions as they are deployed: how large their bundles are, and how long a fresh process takes to load one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleProgram, programFile } from '../infra/bundle.ts';
import { readConfig } from '../infra/read-config.ts';
import { unusedPackages } from '../infra/unused-packages.ts';
import { type Bench, median } from './bench.ts';

const ROUNDS = 15;

/** Secrets as a deployed fleet has them; nothing is looked up before the first connection. */
const CONFIG = `
  import { defineConfig, secret } from 'bucardo-serverless';
  export default defineConfig({
    databases: {
      shop: { engine: 'postgres', url: secret('bucardo/shop') },
      reports: { engine: 'postgres', url: secret('bucardo/reports') },
    },
    syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
  });`;

export const bench: Bench = {
  title: 'size of each function’s bundle, and how long a fresh process takes to load it',
  run,
};

async function run(report: Parameters<Bench['run']>[0]): ReturnType<Bench['run']> {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-cold-start-'));
  try {
    const config = join(folder, 'bucardo.config.ts');
    writeFileSync(config, CONFIG);
    for (const program of readdirSync(join(import.meta.dirname, '../lambdas'))) {
      const outDir = join(folder, program);
      const handler = programFile(`lambdas/${program}/handler`);
      bundleProgram({
        outDir,
        entries: { index: handler, 'bucardo.config': config },
        leaveOut: unusedPackages(readConfig(config)),
      });
      const bounded = program === 'replicate';
      report({
        name: `${program}, bundle`,
        value: kilobytesOf(outDir),
        unit: 'kB',
        ...(bounded ? { bound: { sense: 'at most', limit: 1_500, aim: 600 } } : {}),
      });
      const times = Array.from({ length: ROUNDS }, () => loadMs(outDir));
      report({
        name: `${program}, loaded`,
        value: median(times),
        unit: 'ms',
        ...(bounded ? { bound: { sense: 'at most', limit: 500, aim: 250 } } : {}),
      });
    }
    return {
      rounds: ROUNDS,
      engines: 'postgres',
      counted: 'every file of the bundle, also what is loaded only when needed',
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function kilobytesOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) / 1000;
}

/** Lambda's init phase as far as the program has a share in it: from the import to a handler that can be called. */
function loadMs(folder: string): number {
  const program = `
    const startedAtMs = performance.now();
    const { handler } = await import(${JSON.stringify(join(folder, 'index.mjs'))});
    const ms = performance.now() - startedAtMs;
    if (typeof handler !== 'function') throw new Error('no handler');
    process.stdout.write(String(ms));
    process.exit();`;
  const environment = {
    PATH: process.env['PATH'],
    AWS_REGION: 'us-east-1',
    BUCARDO_QUEUE_URL: 'https://sqs.us-east-1.amazonaws.com/0/q.fifo',
    BUCARDO_DEAD_LETTER_QUEUE_URL: 'https://sqs.us-east-1.amazonaws.com/0/d.fifo',
  };
  return Number(
    execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: folder,
      env: environment,
      encoding: 'utf8',
    }),
  );
}
