/**
 * The packed package in somebody's empty folder: what `npm install bucardo-serverless` gives, run as a user runs it. Here
 * alone the compiled files are run, since Node strips no types under node_modules.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const INSTALL_TIMEOUT_MS = 180_000;

let folder: string;
let installed: string;

interface Finished {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs with this Node first on the PATH, and without what npm tells the scripts of the checkout. */
function run(cwd: string, command: string, ...args: readonly string[]): Finished {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_|^(NODE_OPTIONS|VITEST)/i.test(name),
  );
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: {
      ...Object.fromEntries(inherited),
      PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
      NO_UPDATE_NOTIFIER: '1',
    },
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  // npm's own warnings depend on the machine's settings.
  return { status, out: stdout, err: stderr.replaceAll(/^npm warn .*\n/gm, '') };
}

function bucardo(...args: readonly string[]): Finished {
  return run(folder, 'npx', '--no-install', 'bucardo', ...args);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bucardo-package-'));
  const packed = run(root, 'npm', 'pack', '--silent', '--pack-destination', folder);
  expect(packed, 'npm pack').toMatchObject({ status: 0 });
  const [tarball = ''] = readdirSync(folder);
  expect(tarball).toMatch(/^bucardo-serverless-.*\.tgz$/);
  // The optional packages are servers and a Node for the demo: hundreds of megabytes that no command here needs.
  const install = run(
    folder,
    'npm',
    'install',
    '--prefer-offline',
    '--omit=optional',
    '--no-audit',
    '--no-fund',
    join(folder, tarball),
  );
  expect(install, 'npm install').toMatchObject({ status: 0 });
  installed = join(folder, 'node_modules', 'bucardo-serverless');
}, 2 * INSTALL_TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the package holds the compiled program and its documents, and no tests, sources or benchmarks', () => {
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
  expect(files).toContain(join('bin', 'bucardo.mjs'));
  expect(files).toContain(join('dist', 'cli', 'main.js'));
  expect(files).toContain(join('dist', 'shared', 'config', 'index.d.ts'));
  expect(files).toContain('LICENSE');
  const unwanted = files.filter(
    (file) =>
      /(^|[\\/])(test|bench|examples|scripts)([\\/]|$)|\.test\./.test(file) || /(?<!\.d)\.ts$/.test(file),
  );
  expect(unwanted).toEqual([]);
});

test('npx bucardo init writes a configuration that the installed program reads', () => {
  expect(bucardo('--version')).toMatchObject({
    status: 0,
    out: `${(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version}\n`,
  });
  const init = bucardo('init');
  expect(init).toMatchObject({ status: 0, err: '' });
  expect(init.out).not.toContain('npm install');
  expect(existsSync(join(folder, 'bucardo.config.ts'))).toBe(true);
  const config = bucardo('config', '--json');
  expect(config).toMatchObject({ status: 0, err: '' });
  expect(JSON.parse(config.out)).toMatchObject({ lanes: [{ id: 'main/target' }] });
});

test('in an empty folder the program is enough: the package need not be installed there', () => {
  const empty = mkdtempSync(join(tmpdir(), 'bucardo-empty-'));
  try {
    // What npx runs when it has fetched the package into its cache.
    const main = join(installed, 'bin', 'bucardo.mjs');
    const init = run(empty, process.execPath, main, 'init');
    expect(init).toMatchObject({ status: 0, err: '' });
    expect(init.out).toContain('npm install bucardo-serverless');
    expect(readdirSync(empty)).toEqual(['bucardo.config.ts']);
    expect(run(empty, process.execPath, main, 'config')).toMatchObject({ status: 0, err: '' });
  } finally {
    rmSync(empty, { recursive: true, force: true });
  }
});

test('the installed program reports mistakes as the checkout does', () => {
  writeFileSync(
    join(folder, 'wrong.ts'),
    "import { defineConfig } from 'bucardo-serverless';\nexport default defineConfig({ databases: {}, syncs: {} } as const);",
  );
  const { status, err } = bucardo('config', '--config', 'wrong.ts');
  expect(status).toBe(1);
  expect(err).toMatch(/^BUC-CONFIG-INVALID: .*\n {2}databases: is empty/);
});

test('types of the installed package accept the written configuration and refuse an unknown database', () => {
  const config = (target: string) => `import { defineConfig, env } from 'bucardo-serverless';
    export default defineConfig({
      databases: { a: { engine: 'postgres', url: env('A') }, b: { engine: 'postgres', url: env('B') } },
      syncs: { s: { sources: ['a'], targets: ['${target}'], tables: ['public.*'] } },
    });`;
  const compile = (name: string, text: string): Finished => {
    writeFileSync(join(folder, name), text);
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    return run(
      folder,
      tsc,
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--types',
      '',
      name,
    );
  };
  expect(compile('right.mts', config('b'))).toMatchObject({ status: 0, out: '' });
  const wrong = compile('mistaken.mts', config('c'));
  expect(wrong.status).not.toBe(0);
  expect(wrong.out).toContain(`'"c"' is not assignable`);
});

/** The package leaves these to the app. They are here already, and large. */
function linkCdk(): void {
  for (const name of ['aws-cdk-lib', 'constructs', 'esbuild']) {
    const link = join(folder, 'node_modules', name);
    if (!existsSync(link)) symlinkSync(join(root, 'node_modules', name), link);
  }
}

test('another CDK app takes the fleet from the installed package, and synthesises it', () => {
  linkCdk();
  writeFileSync(
    join(folder, 'fleet.ts'),
    `import { defineConfig, secret } from 'bucardo-serverless';
     export default defineConfig({
       databases: {
         shop: { engine: 'postgres', url: secret('shop') },
         reports: { engine: 'postgres', url: secret('reports') },
       },
       syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
     });`,
  );
  writeFileSync(
    join(folder, 'app.mjs'),
    `import { App, Stack } from 'aws-cdk-lib';
     import { BucardoFleet } from 'bucardo-serverless/infra';
     const app = new App({ outdir: 'cdk.out' });
     new BucardoFleet(new Stack(app, 'Mine'), 'Replication', { configFile: 'fleet.ts', fleetName: 'mine' });
     app.synth();`,
  );
  const synthesised = run(folder, process.execPath, 'app.mjs');
  expect(synthesised, synthesised.err).toMatchObject({ status: 0 });
  const template = JSON.parse(readFileSync(join(folder, 'cdk.out', 'Mine.template.json'), 'utf8')) as {
    Resources: Record<string, { Type: string }>;
  };
  const types = Object.values(template.Resources).map(({ Type }) => Type);
  expect(types.filter((type) => type === 'AWS::SQS::Queue')).toHaveLength(2);
  expect(types).toContain('AWS::ECS::Service');
  const bundles = readdirSync(join(folder, 'cdk.out'), { recursive: true, encoding: 'utf8' });
  expect(bundles.filter((file) => file.endsWith('bucardo.config.mjs')).length).toBeGreaterThanOrEqual(6);
  expect(bundles.filter((file) => file.endsWith('Dockerfile'))).not.toEqual([]);
});

test('a pipeline deploys the fleet to staging and, after somebody agreed, to production', () => {
  linkCdk();
  const app = join(folder, 'pipeline');
  cpSync(join(root, 'examples', 'pipeline'), app, { recursive: true });
  const outDir = join(app, 'cdk.out');
  const synthesised = run(app, 'env', `CDK_OUTDIR=${outDir}`, process.execPath, 'app.ts');
  expect(synthesised, synthesised.err).toMatchObject({ status: 0 });
  for (const stage of ['Staging', 'Production']) {
    const assembly = join(outDir, `assembly-Pipeline-${stage}`);
    const [template = ''] = readdirSync(assembly).filter((file) => file.endsWith('.template.json'));
    expect(readFileSync(join(assembly, template), 'utf8')).toContain('Custom::BucardoApply');
  }
  const { Resources } = JSON.parse(readFileSync(join(outDir, 'Pipeline.template.json'), 'utf8')) as {
    Resources: Record<string, { Type: string; Properties: { Stages?: readonly { Name: string }[] } }>;
  };
  const stages = Object.values(Resources).flatMap(({ Type, Properties }) =>
    Type === 'AWS::CodePipeline::Pipeline' ? (Properties.Stages ?? []).map(({ Name }) => Name) : [],
  );
  expect(stages).toEqual(['Source', 'Build', 'UpdatePipeline', 'Assets', 'Staging', 'Production']);
});
