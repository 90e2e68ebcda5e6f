/**
 * Programs as they are shipped: each entry in one ES module, what several share in chunks beside them, and nothing to install. What is
 * imported lazily (an SDK client that a fleet may never need) is a chunk of its own, so that a cold start does not read it.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

export interface BundleOptions {
  readonly outDir: string;
  /** File to bundle by the name of the resulting module, without extension. */
  readonly entries: Readonly<Record<string, string>>;
  /** Packages that are never loaded there. */
  readonly leaveOut: readonly string[];
}

/** Packages that are CommonJS call `require`, which an ES module does not have. */
const BANNER =
  "import{createRequire as createRequireOf}from'node:module';const require=createRequireOf(import.meta.url);";

/** Parts of packages that are never reached here, and would fail to bundle or only add weight. */
const NEVER_LOADED = ['pg-native', 'pg-cloudflare'];

/** @throws an error that lists what esbuild could not resolve or parse */
export function bundleProgram({ outDir, entries, leaveOut }: BundleOptions): void {
  buildSync({
    entryPoints: { ...entries },
    outdir: outDir,
    bundle: true,
    splitting: true,
    minify: true,

    platform: 'node',
    // Lambda's runtime and the notifier's image.
    target: 'node24',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    banner: { js: BANNER },
    external: [...NEVER_LOADED, ...leaveOut],
    // A configuration beside a checkout imports the package by its name, which need not be installed there.
    alias: { 'bucardo-serverless': programFile('shared/config/index') },
    legalComments: 'none',
    logLevel: 'silent',
    mainFields: ['module', 'main'],
  });
}

/** A source file of this project: TypeScript in a checkout, compiled in the package. @param path without extension */
export function programFile(path: string): string {
  return fileURLToPath(new URL(`../${path}${extname(import.meta.url)}`, import.meta.url));
}
