/** Templates of fleets, synthesised as `cdk deploy` does it, from configurations in a folder of the test's own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type StackProps } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { BucardoFleetStack } from '../../infra/bucardo-fleet-stack.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The flags of the checkout's cdk.json. */
export function cdkContext(): Record<string, unknown> {
  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as {
    context: Record<string, unknown>;
  };
  return context;
}

/** @param text of bucardo.config.ts after its import line */
export function writeConfig(text: string): string {
  const folder = temporaryFolder('bucardo-infra-');
  const file = join(folder, 'bucardo.config.ts');
  writeFileSync(
    file,
    `import { defineConfig, env, parameter, secret } from 'bucardo-serverless';\nexport default defineConfig(${text});\n`,
  );
  return file;
}

const folders: string[] = [];
process.once('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** Gone when the process ends. */
export function temporaryFolder(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  folders.push(folder);
  return folder;
}

export interface Synthesised {
  readonly app: App;
  readonly stack: BucardoFleetStack;
  readonly template: Template;
  readonly json: CloudFormationTemplate;
}

export interface CloudFormationTemplate {
  readonly Resources: Readonly<Record<string, CloudFormationResource>>;
  readonly Outputs?: Readonly<Record<string, { readonly Value: unknown }>>;
}

export interface CloudFormationResource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
  readonly DependsOn?: string | readonly string[];
  readonly DeletionPolicy?: string;
}

/** Many tests look at the same template; making one takes a second or two. */
const made = new Map<string, Synthesised>();

export function synthesise(config: string, options: SynthesiseOptions = {}): Synthesised {
  const key = JSON.stringify([config, options]);
  const known = made.get(key) ?? make(config, options);
  made.set(key, known);
  return known;
}

interface SynthesiseOptions extends StackProps {
  readonly fleetName?: string;
  /** What was looked up in the account before, as in cdk.context.json. */
  readonly lookedUp?: Readonly<Record<string, unknown>>;
}

function make(config: string, { fleetName, lookedUp, ...props }: SynthesiseOptions): Synthesised {
  const app = new App({ context: { ...cdkContext(), ...lookedUp }, outdir: temporaryFolder('bucardo-cdk-') });
  const stack = new BucardoFleetStack(app, fleetName ?? 'bucardo', {
    configFile: writeConfig(config),
    ...(fleetName === undefined ? {} : { fleetName }),
    ...props,
  });
  const template = Template.fromStack(stack);
  return { app, stack, template, json: template.toJSON() as unknown as CloudFormationTemplate };
}

/** What the CDK tells people about an app: errors, warnings, notes. */
export function messagesOf({ app }: Synthesised): string {
  return app
    .synth()
    .stacks.flatMap(({ messages }) => messages.map(({ entry }) => JSON.stringify(entry.data)))
    .join('\n');
}

/** Resources of a type, by logical id. */
export function resourcesOf(
  { Resources }: CloudFormationTemplate,
  type: string,
): readonly (readonly [string, CloudFormationResource])[] {
  return Object.entries(Resources).filter(([, resource]) => resource.Type === type);
}
