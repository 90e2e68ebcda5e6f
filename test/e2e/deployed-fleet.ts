/** A fleet deployed to a LocalStack of the test's own, between real Postgres servers, with the notifier as a process beside it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { GetQueueAttributesCommand, SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { environmentFor } from '../../localstack/aws-environment.ts';
import { bootstrap, deployFleet, destroyFleet, stackOutputs } from '../../localstack/fleet.ts';
import { type LocalStack, startLocalStack } from '../../localstack/server.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { waitFor } from '../support/wait-for.ts';
import { CLIENT } from './traces.ts';

const ROOT = join(import.meta.dirname, '../..');
export const FLEET = 'e2e';

/** Who replicates at the target that wants a password. */
export const REPLICATOR = 'replicator';

const TABLES = `
  create table public.orders (id int primary key, item text not null);
  create table public.visits (id int primary key, page text not null);`;

export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class DeployedFleet {
  readonly folder: string;
  readonly localStack: LocalStack;
  readonly servers: Readonly<Record<'shop' | 'reports' | 'archive', PostgresServer>>;
  /** What commands and notifiers have written so far. */
  said = '';
  #notifier: ChildProcess | undefined;

  private constructor(folder: string, localStack: LocalStack, servers: DeployedFleet['servers']) {
    this.folder = folder;
    this.localStack = localStack;
    this.servers = servers;
  }

  static async start(): Promise<DeployedFleet> {
    const folder = mkdtempSync(join(tmpdir(), 'bucardo-e2e-'));
    const [localStack, shop, reports, archive] = await Promise.all([
      startLocalStack({ folder }),
      startPostgres(),
      startPostgres({ prepare: wantPassword }),
      startPostgres(),
    ]);
    const fleet = new DeployedFleet(folder, localStack, { shop, reports, archive });
    for (const name of ['shop', 'reports', 'archive'] as const) await fleet.run(name, TABLES);
    await fleet.run('reports', `create role ${REPLICATOR} superuser login password 'hunter2'`);
    await fleet.putSecret('shop', fleet.url('shop'), true);
    await fleet.putSecret('archive', fleet.url('archive'), true);
    await fleet.putSecret('reports', fleet.urlOfReplicator('hunter2'), true);
    await bootstrap(localStack.endpoint, fleet.outDir);
    return fleet;
  }

  get endpoint(): string {
    return this.localStack.endpoint;
  }

  get outDir(): string {
    return join(this.folder, 'cdk.out');
  }

  get configFile(): string {
    return join(this.folder, 'bucardo.config.ts');
  }

  url(name: keyof DeployedFleet['servers']): string {
    return this.servers[name].url('postgres');
  }

  urlOfReplicator(password: string): string {
    const url = new URL(this.url('reports'));
    url.username = REPLICATOR;
    url.password = password;
    return url.href;
  }

  /** @param syncs text of the configuration's key */
  configure(syncs: string): void {
    const entry = JSON.stringify(join(ROOT, 'shared/config/index.ts'));
    writeFileSync(
      this.configFile,
      `import { defineConfig, secret } from ${entry};
       export default defineConfig({
         fleet: '${FLEET}',
         databases: {
           shop: { engine: 'postgres', url: secret('e2e/shop') },
           reports: { engine: 'postgres', url: secret('e2e/reports') },
           archive: { engine: 'postgres', url: secret('e2e/archive') },
         },
         syncs: ${syncs},
         aws: { notifier: 'none' },
       });`,
    );
  }

  async deploy(): Promise<void> {
    const applied = await this.bucardo('apply');
    if (applied.status !== 0) throw new Error(applied.err);
    await deployFleet({
      endpoint: this.endpoint,
      configFile: this.configFile,
      fleetName: FLEET,
      outDir: this.outDir,
    });
  }

  async destroy(fleetName = FLEET): Promise<void> {
    await destroyFleet({
      endpoint: this.endpoint,
      configFile: this.configFile,
      fleetName,
      outDir: this.outDir,
    });
  }

  async outputs(): Promise<Readonly<Record<string, string>>> {
    return await stackOutputs(this.endpoint, FLEET);
  }

  /** Starts another notifier; the one before, if any, is stopped when the new one listens. */
  async startNotifier(): Promise<void> {
    const { KickQueueUrl = '' } = await this.outputs();
    const before = this.#notifier;
    const child = spawn(
      process.execPath,
      [join(ROOT, 'cli/main.ts'), '--config', this.configFile, 'notifier'],
      { env: this.environment({ BUCARDO_QUEUE_URL: KickQueueUrl }), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let ready = false;
    child.stdout.on('data', () => (ready = true));
    child.stderr.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    this.#notifier = child;
    await waitFor(() => ready || child.exitCode !== null, 30_000, 'the notifier');
    await end(before);
  }

  /** The `bucardo` command, as somebody runs it who is signed in to AWS. */
  async bucardo(...args: readonly string[]): Promise<Outcome> {
    return await this.#execute(process.execPath, [
      join(ROOT, 'cli/main.ts'),
      '--config',
      this.configFile,
      ...args,
    ]);
  }

  /** A command as it is written in a document, but that it has this fleet's configuration and asks nothing. */
  async shell(command: string): Promise<Outcome> {
    const [, program = '', rest = ''] = /^npx (bucardo|cdk \w+)(.*)$/.exec(command) ?? [];
    const config = rest.replace(/ -c config=\S+/, '');
    const full =
      program === 'bucardo'
        ? `npx bucardo --config '${this.configFile}'${rest}`
        : `npx ${program}${config} -c config='${this.configFile}' --output '${this.outDir}' --require-approval never`;
    return await this.#execute('bash', ['-c', full]);
  }

  async #execute(command: string, args: readonly string[]): Promise<Outcome> {
    const execution = promisify(execFile)(command, args, {
      cwd: ROOT,
      env: this.environment({
        PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
      }),
      maxBuffer: 2 ** 26,
    });
    const outcome = await execution.then(
      ({ stdout, stderr }) => ({ status: 0, out: stdout, err: stderr }),
      (error: unknown) => {
        const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
        return { status: code, out: stdout, err: stderr };
      },
    );
    this.said += outcome.out + outcome.err;
    return outcome;
  }

  environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
    return { ...environmentFor(this.endpoint), ...more };
  }

  async run(name: keyof DeployedFleet['servers'], sql: string): Promise<void> {
    await withConnection({ database: name, url: this.url(name), purpose: 'application' }, (db) =>
      db.script(sql),
    );
  }

  /** Every row of a table as text, in order. */
  async rows(name: keyof DeployedFleet['servers'], table: string): Promise<string> {
    return await withConnection(
      { database: name, url: this.url(name), purpose: 'application' },
      async (db) => {
        const { rows } = await db.row<{ rows: string | null }>(
          `select md5(string_agg(t::text, '|' order by id)) || ' of ' || count(*) as rows from public.${table} t`,
        );
        return rows ?? 'none';
      },
    );
  }

  /** Whether a run writes there now. */
  async isAtWork(name: keyof DeployedFleet['servers']): Promise<boolean> {
    return await withConnection(
      { database: name, url: this.url(name), purpose: 'application' },
      async (db) => {
        const { busy } = await db.row<{ busy: boolean }>(
          `select exists (
           select from pg_stat_activity where application_name like 'bucardo lane%' and state <> 'idle'
         ) as busy`,
        );
        return busy;
      },
    );
  }

  async isEqual(table: string, ...targets: (keyof DeployedFleet['servers'])[]): Promise<boolean> {
    const source = await this.rows('shop', table);
    const all = await Promise.all(targets.map((target) => this.rows(target, table)));
    return all.every((rows) => rows === source);
  }

  async putSecret(name: string, url: string, create = false): Promise<void> {
    const client = new SecretsManagerClient({ ...CLIENT, endpoint: this.endpoint });
    const [id, value] = [`e2e/${name}`, url];
    await (create
      ? client.send(new CreateSecretCommand({ Name: id, SecretString: value }))
      : client.send(new PutSecretValueCommand({ SecretId: id, SecretString: value })));
    client.destroy();
  }

  /** So that a test need not wait for the eighteen minutes after which a kick is a dead letter. */
  async makeLettersSoon(receives: number): Promise<void> {
    const { KickQueueUrl } = await this.outputs();
    await this.#withSqs(async (sqs) => {
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: KickQueueUrl, AttributeNames: ['RedrivePolicy'] }),
      );
      const policy = JSON.parse(Attributes?.RedrivePolicy ?? '{}') as object;
      await sqs.send(
        new SetQueueAttributesCommand({
          QueueUrl: KickQueueUrl,
          Attributes: { RedrivePolicy: JSON.stringify({ ...policy, maxReceiveCount: receives }) },
        }),
      );
    });
  }

  /** Dead letters, those that wait for their next try included. */
  async letters(): Promise<number> {
    const { DeadLetterQueueUrl } = await this.outputs();
    return await this.#withSqs(async (sqs) => {
      const { Attributes = {} } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: DeadLetterQueueUrl, AttributeNames: ['All'] }),
      );
      return (
        Number(Attributes.ApproximateNumberOfMessages) +
        Number(Attributes.ApproximateNumberOfMessagesNotVisible)
      );
    });
  }

  /** Kills the processes in which LocalStack runs a function of ours. Returns how many there were. */
  killFunctions(program: string): number {
    const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
    let killed = 0;
    for (const pid of pids) {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        if (!environment.includes(`AWS_LAMBDA_FUNCTION_NAME=${FLEET}-FleetFunctions${program}`)) continue;
        if (!environment.includes(this.endpoint)) continue;
        process.kill(Number(pid), 'SIGKILL');
        killed += 1;
      } catch {
        // It ended meanwhile, or is nobody's business.
      }
    }
    return killed;
  }

  async stop(): Promise<void> {
    await end(this.#notifier);
    await this.localStack.stop();
    await Promise.all(Object.values(this.servers).map((server) => server.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #withSqs<Result>(body: (sqs: SQSClient) => Promise<Result>): Promise<Result> {
    const sqs = new SQSClient({ ...CLIENT, endpoint: this.endpoint });
    try {
      return await body(sqs);
    } finally {
      sqs.destroy();
    }
  }
}

/** The first line that fits counts, so this one goes before those that trust everybody. */
function wantPassword({ data }: { readonly data: string }): void {
  const file = join(data, 'pg_hba.conf');
  const trusting = readFileSync(file, 'utf8');
  writeFileSync(file, `host all ${REPLICATOR} 127.0.0.1/32 scram-sha-256\n`);
  appendFileSync(file, trusting);
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}
