/**
 * Finds and imports bucardo.config.ts. The file is code of the person who runs the command: whatever goes wrong in it is
 * told with its line, and without a stack trace or a quotation from the file.
 */
import { existsSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { basename, extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BucardoError } from '../errors/bucardo-error.ts';
import { readVariable } from './environment.ts';
import { kindOf } from './kind-of.ts';
import { redactUrl } from './redact-url.ts';
import type { Fleet } from './types.ts';
import { validateConfig } from './validate-config.ts';

/** In the order in which they are looked for. */
export const CONFIG_FILES = [
  'bucardo.config.ts',
  'bucardo.config.mts',
  'bucardo.config.js',
  'bucardo.config.mjs',
] as const;

/** Names the fleet in place of the configuration, for stages that share one. */
const FLEET_VARIABLE = 'BUCARDO_FLEET';

export interface LoadConfigOptions {
  /** A path of the file, relative to `cwd`. Without it the folder `cwd` is searched. */
  readonly file?: string | undefined;
  readonly cwd: string;
}

export interface LoadedConfig {
  readonly fleet: Fleet;
  /** Absolute path. */
  readonly file: string;
}

/** @throws BUC-CONFIG-NOT-FOUND, BUC-CONFIG-UNREADABLE, BUC-CONFIG-INVALID */
export async function loadConfig(options: LoadConfigOptions): Promise<LoadedConfig> {
  const file = findConfig(options);
  const module = await importModule(file);
  const fleet = validateConfig(defaultExport(module, file), basename(file));
  return { fleet: { ...fleet, name: readVariable(FLEET_VARIABLE) ?? fleet.name }, file };
}

/** The absolute path of the configuration file. @throws BUC-CONFIG-NOT-FOUND */
function findConfig({ file, cwd }: LoadConfigOptions): string {
  if (file !== undefined) {
    const path = resolve(cwd, file);
    if (isFile(path)) return path;
    throw new BucardoError('BUC-CONFIG-NOT-FOUND', { detail: `${path} is no file` });
  }
  const found = CONFIG_FILES.map((name) => join(cwd, name)).find(isFile);
  if (found === undefined) {
    throw new BucardoError('BUC-CONFIG-NOT-FOUND', {
      detail: `none of ${CONFIG_FILES.join(', ')} in ${cwd}`,
    });
  }
  return found;
}

async function importModule(file: string): Promise<Readonly<Record<string, unknown>>> {
  const { href } = pathToFileURL(file);
  const hooks = hooksFor(href, /\.m?ts$/.test(file) ? 'module-typescript' : 'module');
  try {
    return (await import(href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw await unreadable(file, error);
  } finally {
    hooks.deregister();
  }
}

/** Not async: a default export that is a promise must be seen as one, not awaited in passing. */
function defaultExport(module: Readonly<Record<string, unknown>>, file: string): unknown {
  const name = basename(file);
  if (!('default' in module)) {
    throw new BucardoError('BUC-CONFIG-UNREADABLE', { detail: `${name} has no default export` });
  }
  if (module['default'] === undefined || typeof module['default'] === 'function') {
    const what = kindOf(module['default']);
    throw new BucardoError('BUC-CONFIG-UNREADABLE', { detail: `the default export of ${name} is ${what}` });
  }
  return module['default'];
}

/**
 * While the file is imported:
 * - it is an ES module, also under a package.json that says `"type": "commonjs"`, as `npm init` writes it;
 * - 'bucardo-serverless' means this very program if no such package is installed beside the file, so that
 *   `npx bucardo-serverless` is enough.
 */
function hooksFor(configUrl: string, format: 'module' | 'module-typescript'): { deregister(): void } {
  return registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (specifier !== 'bucardo-serverless') throw error;
        return next(new URL(`./index${extname(import.meta.url)}`, import.meta.url).href, context);
      }
    },
    load(url, context, next) {
      return next(url, url === configUrl ? { ...context, format } : context);
    },
  });
}

async function unreadable(file: string, error: unknown): Promise<BucardoError> {
  const line = lineOf(file, error) ?? (error instanceof SyntaxError ? await syntaxLine(file) : undefined);
  const where = line === undefined ? basename(file) : `${basename(file)}, line ${line}`;
  return new BucardoError('BUC-CONFIG-UNREADABLE', {
    detail: `${where}: ${reasonOf(error)}`,
    cause: error,
  });
}

/** The error's own words, first line only; a URL in them loses its password. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${kindOf(error)}`;
  const [message = ''] = redactUrl(error.message).split('\n');
  const text = message.replace(/ imported from .*$/, '');
  return error.name === 'Error' || text.startsWith(error.name) ? text : `${error.name}: ${text}`;
}

/** The line of the file that Node blames: at the head of the stack for syntax errors, else the innermost call. */
function lineOf(file: string, error: unknown): number | undefined {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  for (const name of [pathToFileURL(file).href, file]) {
    const [, after] = stack.split(name);
    const line = /^(?:\?typed)?:(\d+)/.exec(after ?? '')?.[1];
    if (line !== undefined) return Number(line);
  }
  return undefined;
}

/**
 * Node does not say where in a plain JavaScript module a syntax error is; its TypeScript parser does. Nothing of the
 * file runs by this: it cannot be parsed.
 */
async function syntaxLine(file: string): Promise<number | undefined> {
  const url = `${pathToFileURL(file).href}?typed`;
  const hooks = hooksFor(url, 'module-typescript');
  try {
    await import(url);
    return undefined;
  } catch (error) {
    return lineOf(file, error);
  } finally {
    hooks.deregister();
  }
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
