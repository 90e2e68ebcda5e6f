import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type LocalSqs, startLocalSqs } from '../../shared/local/sqs-server.ts';

const ROOT = join(import.meta.dirname, '../..');

let sqs: LocalSqs;
let folder: string;

beforeEach(async () => {
  sqs = await startLocalSqs();
  folder = await mkdtemp(join(tmpdir(), 'bucardo-handler-'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(
    join(folder, 'bucardo.config.ts'),
    `import { defineConfig, env } from 'bucardo-serverless';
     export default defineConfig({
       databases: {
         east: { engine: 'postgres', url: env('EAST_URL') },
         reports: { engine: 'postgres', url: env('REPORTS_URL') },
       },
       syncs: { orders: { sources: ['east'], targets: ['reports'], tables: ['public.orders'] } },
     });`,
  );
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await sqs.close();
});

/** A process of its own with the function in it, as Lambda has it; gives its answer and the lines it printed. */
async function invoke(event: unknown): Promise<{ answer: unknown; lines: Record<string, unknown>[] }> {
  const program = `
    const { handler } = await import(${JSON.stringify(join(ROOT, 'lambdas/replicate/handler.ts'))});
    const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 30_000 };
    const answer = await handler(${JSON.stringify(event)}, context);
    process.stdout.write(JSON.stringify({ answer }) + '\\n', () => process.exit());`;
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', program],
    {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        BUCARDO_QUEUE_URL: sqs.kicks.url,
        AWS_ENDPOINT_URL_SQS: sqs.endpoint,
        AWS_REGION: sqs.region,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        EAST_URL: 'postgres://east:hunter2@127.0.0.1:1/shop',
        REPORTS_URL: 'postgres://reports:hunter2@127.0.0.1:1/shop',
      },
      timeout: 30_000,
    },
  );
  // Lambda collects both.
  const lines = `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { answer: lines.find((line) => 'answer' in line)?.['answer'], lines };
}

it('the function reports a lane whose database is away, in its answer, a log event and a metric', async () => {
  const { answer, lines } = await invoke({
    Records: [
      {
        messageId: 'm1',
        receiptHandle: 'h1',
        body: '{"version":1,"lane":"orders/reports","reason":"change"}',
        attributes: {
          ApproximateReceiveCount: '1',
          SentTimestamp: String(Date.now()),
          MessageGroupId: 'orders/reports',
        },
      },
    ],
  });
  expect(answer).toEqual({ batchItemFailures: [{ itemIdentifier: 'm1' }] });
  expect(lines.find(({ event }) => event === 'lane.run.failed')).toMatchObject({
    level: 'ERROR',
    service: 'replicate',
    event: 'lane.run.failed',
    sync: 'orders',
    destination: 'reports',
    database: 'reports',
    code: 'BUC-DB-UNREACHABLE',
    message: expect.stringContaining('ECONNREFUSED'),
    requestId: 'request-1',
  });
  expect(lines.find((line) => '_aws' in line)).toMatchObject({
    sync: 'orders',
    destination: 'reports',
    service: 'bucardo',
    RunFailures: 1,
    RowsReplicated: 0,
    RunSeconds: expect.any(Number),
    _aws: { CloudWatchMetrics: [{ Namespace: 'Bucardo', Dimensions: [['service']] }] },
  });
  expect(JSON.stringify(lines)).not.toContain('hunter2');
});
