/** Tells whether a configuration is the same as before, whatever else of the program changed. */
import { createHash } from 'node:crypto';
import { buildSync } from 'esbuild';

/** Over the file and what it imports, without comments and layout. */
export function configurationHash(file: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [file],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'esm',
    external: ['bucardo-serverless', '*/shared/config/index.ts'],
    logLevel: 'silent',
  });
  const hash = createHash('sha256');
  for (const { contents } of outputFiles) hash.update(contents);
  return hash.digest('hex').slice(0, 16);
}
