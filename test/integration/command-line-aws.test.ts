/**
 * Commands against a deployed fleet, when something is wrong with it or with who asks. AWS is a stand-in here: an HTTP server on
 * loopback that answers the SDK as CloudFormation, Lambda and CloudWatch Logs do. What works is seen on LocalStack.
 */
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { STACK_OUTPUTS } from '../../shared/config/stack-outputs.ts';
import { type CommandLine, createCommandLine } from '../support/command-line.ts';

const CONFIG = `export default defineConfig({
  fleet: 'shop-fleet',
  databases: {
    shop: { engine: 'postgres', url: env('NOWHERE') },
    reports: { engine: 'postgres', url: env('NOWHERE_ELSE') },
  },
  syncs: { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } },
});`;

/** By nothing but these variables. */
const SIGNED_IN = {
  AWS_REGION: 'eu-west-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_CONFIG_FILE: '/nowhere',
  AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
  AWS_EC2_METADATA_DISABLED: 'true',
};

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

let server: Server;
let bucardo: CommandLine;
let answer: { stacks: Answer; functions: Answer; logs: Answer };
/** Names of the stacks that were asked for, and what functions were called with. */
let asked: string[];

beforeEach(async () => {
  asked = [];
  answer = {
    stacks: stackWith([...STACK_OUTPUTS]),
    functions: { body: '{"lanes":[],"unknown":[]}' },
    logs: { body: '{"events":[]}' },
  };
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const target = String(request.headers['x-amz-target'] ?? '');
      const kind = request.url?.includes('/functions/')
        ? 'functions'
        : target.startsWith('Logs_')
          ? 'logs'
          : 'stacks';
      asked.push(kind === 'stacks' ? (new URLSearchParams(body).get('StackName') ?? '') : body);
      const { status = 200, headers = {}, body: text } = answer[kind];
      const type = kind === 'stacks' ? 'text/xml' : 'application/json';
      response.writeHead(status, { 'content-type': type, ...headers }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  bucardo = createCommandLine(CONFIG, { ...SIGNED_IN, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` });
});

afterEach(async () => {
  await bucardo[Symbol.asyncDispose]();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function stackWith(outputs: readonly string[]): Answer {
  const members = outputs.map(
    (name) => `<member><OutputKey>${name}</OutputKey><OutputValue>shop-fleet-${name}</OutputValue></member>`,
  );
  return {
    body: `<DescribeStacksResponse><DescribeStacksResult><Stacks><member>
      <StackName>shop-fleet</StackName><Outputs>${members.join('')}</Outputs>
    </member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
  };
}

const refused = (status: number, code: string): Answer => ({
  status,
  body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>with hunter2</Message></Error></ErrorResponse>`,
});

/** A function that ended with an error, as Lambda tells of it. */
const failed = (errorType: string, errorMessage: string): Answer => ({
  headers: { 'x-amz-function-error': 'Unhandled' },
  body: JSON.stringify({ errorType, errorMessage, trace: ['at /var/task/secret.mjs'] }),
});

test('a fleet is found by its name in the configuration, or by the stack that is named', async () => {
  expect(await bucardo.run('redrive', '--aws')).toMatchObject({
    status: 0,
    out: 'no lane has a dead letter\n',
  });
  expect(await bucardo.run('redrive', 'orders', '--aws', '--stack', 'staging')).toMatchObject({ status: 0 });
  expect(asked).toEqual([
    'shop-fleet',
    '{"command":"redrive"}',
    'staging',
    '{"command":"redrive","sync":"orders"}',
  ]);
});

test.each([
  ['ValidationError', 400, /there is no such stack\n {2}What to do: Deploy it with `cdk deploy`/],
  ['AccessDenied', 403, /do not allow cloudformation:DescribeStacks\n {2}What to do: .*--profile/],
  ['ExpiredToken', 403, /have expired\n {2}What to do: Sign in again/],
  ['SomethingNew', 400, /CloudFormation answered SomethingNew/],
])('CloudFormation’s %s is told with where it looked and what to do', async (code, status, text) => {
  answer.stacks = refused(status, code);
  const outcome = await bucardo.run('status', '--aws');
  expect(outcome).toMatchObject({ status: 1, out: '' });
  expect(outcome.err).toMatch(/^BUC-FLEET-NOT-FOUND: .*stack shop-fleet in eu-west-1: /);
  expect(outcome.err).toMatch(text);
  expect(outcome.err).not.toMatch(/hunter2| at /);
});

test('a stack that is no fleet is told by what it lacks', async () => {
  answer.stacks = stackWith(['KickQueueUrl']);
  const { status, err } = await bucardo.run('kick', 'orders', '--aws');
  expect(status).toBe(1);
  expect(err).toMatch(
    /stack shop-fleet has no output .*KickFunction.*\n {2}What to do: Name the fleet’s stack/,
  );
});

test.each([
  ['AWS_REGION', /no AWS region is set\n {2}What to do: Name it with --region, AWS_REGION or a profile/],
  ['AWS_ACCESS_KEY_ID', /there are no AWS credentials here\n {2}What to do: Sign in/],
])('without %s a person learns what to set', async (variable, text) => {
  const poor = createCommandLine(CONFIG, { ...SIGNED_IN, [variable]: '' });
  const { status, err } = await poor.run('status', '--aws');
  await poor[Symbol.asyncDispose]();
  expect(status).toBe(1);
  expect(err).toMatch(text);
});

test('an error of the function’s own arrives as it would be here', async () => {
  answer.functions = failed(
    'BUC-LANE-UNKNOWN',
    'There is no such sync or lane (sync sales): the configuration has: orders\n  What to do: Name one of these.',
  );
  expect(await bucardo.run('kick', 'sales', '--aws')).toMatchObject({
    status: 1,
    err: 'BUC-LANE-UNKNOWN: There is no such sync or lane: (sync sales): the configuration has: orders\n  What to do: Name one of these.\n',
  });
});

test.each([
  ['Sandbox.Timedout', 'ended with Sandbox.Timedout'],
  ['constructor', 'ended with constructor'],
])('a function that ends with %s is named, and nothing of its trace is shown', async (type, text) => {
  answer.functions = failed(type, 'Task timed out with hunter2');
  const { status, err } = await bucardo.run('pause', 'orders', '--aws');
  expect(status).toBe(1);
  expect(err).toMatch(/^BUC-FUNCTION-FAILED: .*shop-fleet-OperateFunction/);
  expect(err).toContain(text);
  expect(err).not.toMatch(/hunter2|secret\.mjs/);
});

test('whoever may not invoke is told so', async () => {
  answer.functions = {
    status: 403,
    headers: { 'x-amzn-errortype': 'AccessDeniedException' },
    body: '{"Message":"User is not authorized, hunter2"}',
  };
  const { err } = await bucardo.run('resume', 'orders', '--aws');
  expect(err).toMatch(/^BUC-FUNCTION-FAILED: .*shop-fleet-OperateFunction: AccessDeniedException/);
  expect(err).not.toContain('hunter2');
});

test('lanes whose source does not answer are named, and the exit status says so', async () => {
  answer.functions = {
    body: '{"lanes":["orders/reports"],"unknown":[{"lane":"orders/archive","problem":"not reachable"}]}',
  };
  expect(await bucardo.run('redrive', '--aws')).toMatchObject({
    status: 1,
    out: 'orders/reports kicked\norders/archive unknown: not reachable\n',
  });
});

test('logs of functions are put in order, and those that were never written are no error', async () => {
  const line = (time: string, event: string) =>
    JSON.stringify({ timestamp: time, level: 'INFO', event, sync: 'orders', destination: 'reports' });
  answer.logs = {
    body: JSON.stringify({
      events: [
        { eventId: 'b', timestamp: 2_000, message: line('2026-01-01T00:00:02Z', 'lane.run.completed') },
        { eventId: 'a', timestamp: 1_000, message: line('2026-01-01T00:00:01Z', 'lane.run.started') },
      ],
    }),
  };
  const { status, out } = await bucardo.run('logs', 'orders', '--aws');
  expect(status).toBe(0);
  expect(out.indexOf('lane.run.started')).toBeGreaterThan(-1);
  expect(out.indexOf('lane.run.started')).toBeLessThan(out.indexOf('lane.run.completed'));
  answer.logs = { status: 400, body: '{"__type":"ResourceNotFoundException"}' };
  expect(await bucardo.run('logs', 'orders', '--aws')).toMatchObject({ status: 0, out: '' });
  answer.logs = { status: 400, body: '{"__type":"AccessDeniedException"}' };
  expect((await bucardo.run('logs', 'orders', '--aws')).err).toMatch(
    /CloudWatch Logs answered AccessDeniedException for shop-fleet-\w+Logs/,
  );
});
