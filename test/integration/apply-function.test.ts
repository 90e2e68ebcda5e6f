/**
 * The function that prepares sources while CloudFormation deploys. CloudFormation is a stand-in here: an HTTP server on loopback at
 * the address that a request brings for its answer.
 */
import { createServer, type Server } from 'node:http';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createApplyHandler } from '../../lambdas/apply/create-handler.ts';
import { sendAnswer } from '../../lambdas/apply/send-answer.ts';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import type { Sync } from '../../shared/config/types.ts';
import { withFleetDatabase } from '../../shared/config/with-fleet-database.ts';
import type { Log } from '../../shared/telemetry/log.ts';
import { sourceDatabase, sourceSync, withSource } from '../support/captured-source.ts';
import { createDatabase } from '../support/database.ts';
import type { LogEvent } from '../support/lane-fixture.ts';

const TABLES = 'create table a (id int primary key); create table b (id int primary key)';
const ANSWER_PATH = '/answer?signature=hunter2';

interface Answer {
  readonly Status: string;
  readonly Reason?: string;
  readonly PhysicalResourceId: string;
}

let server: Server;
let address: string;
/** How often CloudFormation's address answers 503 first. */
let refusals: number;
let answers: Answer[];
let events: LogEvent[];

const log: Log = (level, event, fields = {}) => void events.push({ level, event, fields });

beforeEach(async () => {
  refusals = 0;
  answers = [];
  events = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const refused = refusals-- > 0;
      if (!refused && request.method === 'PUT' && request.url === ANSWER_PATH) answers.push(JSON.parse(body));
      response.writeHead(refused ? 503 : 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const listening = server.address();
  if (typeof listening !== 'object' || listening === null) throw new Error('no address');
  address = `http://127.0.0.1:${listening.port}${ANSWER_PATH}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** What CloudFormation is told, or undefined if it is told nothing. */
async function deploy(
  urls: Readonly<Record<string, string>>,
  syncs: readonly Sync[],
  type: 'Create' | 'Update' | 'Delete' = 'Create',
): Promise<Answer | undefined> {
  const fleet = {
    name: 'test',
    databases: new Map(Object.keys(urls).map((name) => [name, sourceDatabase('notify', name)])),
    syncs: new Map(syncs.map((sync) => [sync.name, sync])),
    aws: DEFAULT_AWS_SETTINGS,
  };
  const handler = createApplyHandler({
    fleet,
    withDatabase: withFleetDatabase(fleet, 'test apply', async ({ name }) => urls[name] ?? ''),
    log,
    sendAnswer: (event, answer) => sendAnswer(event, answer, 10),
    giveUpAfterMs: 5_000,
  });
  await handler({
    RequestType: type,
    ResponseURL: address,
    StackId: 'stack',
    RequestId: 'request',
    LogicalResourceId: 'Applied',
    ResourceType: 'Custom::BucardoApply',
    ServiceToken: 'token',
    ResourceProperties: { ServiceToken: 'token' },
    ...(type === 'Create' ? {} : { PhysicalResourceId: 'Applied' }),
  } as CloudFormationCustomResourceEvent);
  return answers.pop();
}

/** Names of the tables that are captured; undefined if nothing was ever applied. */
async function capturedTables(url: string): Promise<readonly string[] | undefined> {
  return await withSource(url, async (db) => {
    const { there } = await db.row<{ there: boolean }>(
      `select to_regclass('bucardo.relation') is not null as there`,
    );
    if (!there) return undefined;
    const rows = await db.rows<{ name: string }>(
      `select table_name as name from bucardo.relation order by 1`,
    );
    return rows.map(({ name }) => name);
  });
}

test('sources are prepared before CloudFormation goes on, and again without harm', async () => {
  const east = await createDatabase(TABLES);
  const done = { Status: 'SUCCESS', PhysicalResourceId: 'Applied' };
  expect(await deploy({ east: east.url }, [sourceSync()])).toMatchObject(done);
  expect(await capturedTables(east.url)).toEqual(['a', 'b']);
  expect(await deploy({ east: east.url }, [sourceSync()], 'Update')).toMatchObject(done);
  expect(events.flatMap(({ fields }) => fields['steps'] ?? [])).toEqual([4, 0]);
});

test('what a configuration no longer has stays with its marks and deltas, so that a rollback finds it', async () => {
  const east = await createDatabase(TABLES);
  const former = [sourceSync(), sourceSync({ sync: 'gone', tables: ['public.b'] })];
  await deploy({ east: east.url }, former);
  const app = await east.app();
  await app.script('insert into a values (1); insert into b values (2)');
  const look = () =>
    withSource(east.url, (db) =>
      db.rows(`select p.sync, p.destination, p.mark::text, d.id
               from bucardo.progress p, bucardo.delta_public_b d order by 1`),
    );
  const before = await look();
  expect(before).toHaveLength(2);
  expect(await deploy({ east: east.url }, [sourceSync({ tables: ['public.a'] })], 'Update')).toMatchObject({
    Status: 'SUCCESS',
  });
  expect(await look()).toEqual(before);
  await app.script('insert into b values (3)');
  expect(await look()).toHaveLength(4);
});

test('a problem of one source stops the deployment before any source is touched, and says what to do', async () => {
  const [east, west] = [await createDatabase(TABLES), await createDatabase('create table a (id int)')];
  const syncs = [sourceSync(), { ...sourceSync({ sync: 'other', tables: ['public.a'] }), source: 'west' }];
  const answer = await deploy({ east: east.url, west: west.url }, syncs);
  expect(answer).toMatchObject({ Status: 'FAILED', PhysicalResourceId: 'Applied' });
  expect(answer?.Reason).toMatch(/^BUC-[A-Z-]+: .*database west.*public\.a.* What to do: /s);
  expect(await capturedTables(east.url)).toBeUndefined();
  expect(await capturedTables(west.url)).toBeUndefined();
});

test('a source that is away stops the deployment without its password', async () => {
  const url = 'postgres://app:hunter2@127.0.0.1:1/none';
  const answer = await deploy({ east: url }, [sourceSync()]);
  expect(answer?.Reason).toMatch(/^BUC-DB-UNREACHABLE: .*database east/);
  expect(JSON.stringify([answer, events])).not.toContain('hunter2');
});

test('a stack that is deleted takes nothing off its sources', async () => {
  const east = await createDatabase(TABLES);
  await deploy({ east: east.url }, [sourceSync()]);
  expect(await deploy({ east: east.url }, [sourceSync()], 'Delete')).toMatchObject({ Status: 'SUCCESS' });
  expect(await capturedTables(east.url)).toEqual(['a', 'b']);
});

test('an answer that is not taken is sent again, and its address is told to nobody', async () => {
  refusals = 1;
  expect(await deploy({}, [], 'Delete')).toMatchObject({ Status: 'SUCCESS' });
  refusals = Number.POSITIVE_INFINITY;
  const error: unknown = await deploy({}, [], 'Delete').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'BUC-UNEXPECTED' });
  expect(`${String(error)} ${JSON.stringify(events)}`).not.toContain('hunter2');
});
