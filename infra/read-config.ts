/**
 * The fleet that a construct describes. Constructs are made synchronously, in whatever way the app's TypeScript is run, so the
 * configuration is bundled and required instead of imported.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Fleet } from '../shared/config/types.ts';
import { validateConfig } from '../shared/config/validate-config.ts';
import { programFile } from './bundle.ts';

/** @throws what is wrong with the file, all problems at once */
export function readConfig(file: string): Fleet {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-config-'));
  try {
    const outfile = join(folder, 'config.cjs');
    buildSync({
      entryPoints: [file],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      alias: { 'bucardo-serverless': programFile('shared/config/index') },
      logLevel: 'silent',
    });
    const module = createRequire(import.meta.url)(outfile) as { readonly default?: unknown };
    return validateConfig(module.default, basename(file));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
