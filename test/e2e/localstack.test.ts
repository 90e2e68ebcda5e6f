/** The very stacks of infra/ at work on LocalStack: real changes in Postgres on their way through all of it. */
import { CloudFormationClient, ListStackResourcesCommand } from '@aws-sdk/client-cloudformation';
import { CloudWatchLogsClient, DescribeLogGroupsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { commandsOf } from '../support/commands-of.ts';
import { waitFor } from '../support/wait-for.ts';
import { DeployedFleet, FLEET, REPLICATOR } from './deployed-fleet.ts';
import { CLIENT, readTraces } from './traces.ts';

const SYNCS = `
  orders: { sources: ['shop'], targets: ['reports', 'archive'], tables: ['public.orders'] },
  visits: { sources: ['shop'], targets: ['archive'], tables: ['public.visits'], autokick: false, schedule: 'rate(1 minute)' },`;

let fleet: DeployedFleet;

beforeAll(async () => {
  fleet = await DeployedFleet.start();
  fleet.configure(`{ ${SYNCS} }`);
  await fleet.deploy();
  await fleet.makeLettersSoon(2);
  await fleet.startNotifier();
});

afterAll(() => fleet.stop());

const SOON_MS = 30_000;
const A_MINUTE_AND_MORE_MS = 150_000;

interface StatusLane {
  readonly lane: string;
  readonly failures: number;
  readonly error?: { readonly code: string };
  readonly deadLetterSecondsAgo?: number;
}

async function laneStatus(lane: string): Promise<StatusLane | undefined> {
  const { out } = await fleet.bucardo('status', '--aws', '--json');
  const { lanes } = JSON.parse(out) as { lanes: StatusLane[] };
  return lanes.find((candidate) => candidate.lane === lane);
}

test('a row reaches its targets by NOTIFY, notifier, SQS and function', async () => {
  await fleet.run('shop', `insert into public.orders values (1, 'first')`);
  await waitFor(() => fleet.isEqual('orders', 'reports', 'archive'), SOON_MS, 'the row');
});

test('a sync that no change kicks is run by its schedule', async () => {
  await fleet.run('shop', `insert into public.visits select n, 'page ' || n from generate_series(1, 100) n`);
  await waitFor(() => fleet.isEqual('visits', 'archive'), A_MINUTE_AND_MORE_MS, 'the schedule');
});

test('a person kicks a sync and waits for it', async () => {
  await fleet.run('shop', `insert into public.visits values (101, 'home')`);
  expect(await fleet.bucardo('kick', 'visits', '--aws', '--wait', '--json')).toMatchObject({
    status: 0,
    out: '[{"lane":"visits/archive","outcome":"done"}]\n',
  });
  expect(await fleet.isEqual('visits', 'archive')).toBe(true);
  const unknown = await fleet.bucardo('kick', 'nothing', '--aws');
  expect(unknown).toMatchObject({ status: 1, out: '' });
  expect(unknown.err).toMatch(/^BUC-LANE-UNKNOWN: There is no such sync or lane: .*\n {2}What to do: /);
});

test('a person pauses a lane, and lets it go on', async () => {
  const at = (command: string) => fleet.bucardo(command, 'orders', '--to', 'reports', '--aws');
  expect(await at('pause')).toMatchObject({ status: 0, out: 'orders/reports paused\n' });
  await fleet.run('shop', `insert into public.orders values (50, 'while reports is paused')`);
  await waitFor(() => fleet.isEqual('orders', 'archive'), SOON_MS, 'the other lane');
  expect(await fleet.isEqual('orders', 'reports')).toBe(false);
  expect((await fleet.bucardo('status', '--aws')).out).toMatch(/orders\/reports +paused +1 /);
  expect((await at('resume')).status).toBe(0);
  await waitFor(() => fleet.isEqual('orders', 'reports'), SOON_MS, 'the row');
});

test('a fleet that is not there is told with what to do', async () => {
  const { status, err } = await fleet.bucardo('status', '--aws', '--stack', 'nothing');
  expect(status).toBe(1);
  expect(err).toMatch(
    /^BUC-FLEET-NOT-FOUND: .*stack nothing in us-east-1: there is no such stack\n {2}What to do: Deploy it/,
  );
});

test('kicks repeated and out of order change nothing', async () => {
  const { KickQueueUrl = '' } = await fleet.outputs();
  const queue = createKickQueue({ queueUrl: KickQueueUrl, endpoint: fleet.endpoint });
  for (let round = 0; round < 5; round += 1) {
    await fleet.run('shop', `insert into public.orders values (${100 + round}, 'round ${round}')`);
    const lanes = ['orders/archive', 'orders/reports', 'orders/archive', 'visits/archive', 'orders/reports'];
    await queue.send(lanes.map((lane) => ({ lane, reason: 'manual' })));
    await fleet.run('shop', `update public.orders set item = 'changed in ${round}' where id = ${99 + round}`);
  }
  queue.close();
  await waitFor(() => fleet.isEqual('orders', 'reports', 'archive'), SOON_MS, 'the rows');
});

test('a secret that is rotated is read again by who is refused', async () => {
  await fleet.run(
    'reports',
    `alter role ${REPLICATOR} password 'hunter3';
    select pg_terminate_backend(pid) from pg_stat_activity where usename = '${REPLICATOR}'`,
  );
  await fleet.putSecret('reports', fleet.urlOfReplicator('hunter3'));
  await fleet.run('shop', `insert into public.orders values (200, 'after the rotation')`);
  await waitFor(() => fleet.isEqual('orders', 'reports', 'archive'), A_MINUTE_AND_MORE_MS, 'the row');
  const { out } = await fleet.bucardo('logs', 'orders', '--aws', '--since', '1h');
  expect(out).toContain('lane.run.completed');
  expect(out).not.toContain('destination=archive reason=schedule');
  expect(out).not.toMatch(/hunter|after the rotation/);
});

test('a function that is killed in the middle of a run loses nothing', async () => {
  await fleet.run(
    'shop',
    `insert into public.orders select n, repeat('x', 100) from generate_series(1000, 200000) n`,
  );
  // At work, so it has given its first sign of life: its kick comes back a minute later.
  await waitFor(() => fleet.isAtWork('reports'), SOON_MS, 'a run');
  expect(fleet.killFunctions('Replicate')).toBeGreaterThan(0);
  expect(await fleet.isEqual('orders', 'reports', 'archive')).toBe(false);
  await waitFor(() => fleet.isEqual('orders', 'reports', 'archive'), A_MINUTE_AND_MORE_MS, 'the rows');
});

test('a target that is down makes dead letters, delays only its own lane, and recovers by itself', async () => {
  await fleet.servers.reports.stop();
  await fleet.run('shop', `insert into public.orders values (300, 'while reports is down')`);
  await waitFor(() => fleet.isEqual('orders', 'archive'), SOON_MS, 'the other lane');
  await waitFor(async () => (await fleet.letters()) > 0, A_MINUTE_AND_MORE_MS, 'a dead letter');
  await waitFor(
    async () => (await laneStatus('orders/reports'))?.deadLetterSecondsAgo !== undefined,
    SOON_MS,
    'the dead letter in the status',
  );
  expect(await laneStatus('orders/reports')).toMatchObject({ error: { code: 'BUC-DB-UNREACHABLE' } });
  expect((await fleet.bucardo('redrive', '--aws')).out).toBe('orders/reports kicked\n');
  await fleet.servers.reports.start();
  await waitFor(() => fleet.isEqual('orders', 'reports'), A_MINUTE_AND_MORE_MS, 'the recovery');
  await waitFor(async () => (await fleet.letters()) === 0, 2 * A_MINUTE_AND_MORE_MS, 'the letters to go');
  expect(await laneStatus('orders/reports')).toMatchObject({ failures: 0 });
}, 600_000);

test('a configuration that changes while changes flow loses nothing', async () => {
  await fleet.run('shop', 'create table public.items (id int primary key, name text not null)');
  await fleet.run('archive', 'create table public.items (id int primary key, name text not null)');
  fleet.configure(
    `{ ${SYNCS} items: { sources: ['shop'], targets: ['archive'], tables: ['public.items'] } }`,
  );
  const stopping = new AbortController();
  const writer = (async () => {
    for (let id = 400_000; !stopping.signal.aborted; id += 1) {
      await fleet.run(
        'shop',
        `insert into public.orders values (${id}, 'during'); insert into public.items values (${id}, 'during')`,
      );
    }
  })();
  try {
    await fleet.deploy();
    await fleet.startNotifier();
  } finally {
    stopping.abort();
    await writer;
  }
  await waitFor(() => fleet.isEqual('orders', 'reports', 'archive'), A_MINUTE_AND_MORE_MS, 'the orders');
  await waitFor(() => fleet.isEqual('items', 'archive'), A_MINUTE_AND_MORE_MS, 'the new sync');
});

test('no password and no row value is in a template, a program, an environment, a log, or what people are told', async () => {
  await fleet.run('archive', `alter table public.visits add check (page not like 'open sesame%')`);
  await fleet.run('shop', `insert into public.visits values (200, 'open sesame')`);
  await fleet.bucardo('kick', 'visits', '--aws', '--wait');
  expect((await fleet.bucardo('status', '--aws')).out).toContain('bucardo rejected list visits --to archive');
  const places = { ...(await readTraces(fleet.endpoint, FLEET, fleet.outDir)), said: fleet.said };
  // Each is what it is thought to be, so that looking for something in it means something.
  expect(places.template).toContain('AWS::SQS::Queue');
  expect(places.programs).toContain('e2e/reports');
  expect(places.functions).toContain('BUCARDO_QUEUE_URL');
  expect(places.logs).toContain('lane.run.failed');
  expect(places.said).toContain('notifier.source.connected');
  for (const [place, text] of Object.entries(places)) {
    expect(/hunter\d/.test(text), `a password in ${place}`).toBe(false);
    expect(/open sesame|while reports is down|after the rotation/.test(text), `a value in ${place}`).toBe(
      false,
    );
  }
});

test('the commands of the document on deploying do what it says', async () => {
  const commands = commandsOf('docs/5-deploying.md').filter((command) =>
    /^npx (bucardo|cdk deploy)/.test(command),
  );
  expect(commands.length).toBeGreaterThan(6);
  for (const command of commands) {
    const { status, out, err } = await fleet.shell(command);
    expect(status, `${command}\n${out}\n${err}`).toBe(0);
  }
  // One of them has deployed a second fleet beside the first.
  await fleet.destroy('staging');
});

test('destroying leaves nothing behind', async () => {
  await fleet.destroy();
  const client = { ...CLIENT, endpoint: fleet.endpoint };
  const stacks = new CloudFormationClient(client);
  await expect(stacks.send(new ListStackResourcesCommand({ StackName: FLEET }))).rejects.toThrow(
    /does not exist/,
  );
  const { Functions } = await new LambdaClient(client).send(new ListFunctionsCommand({}));
  expect(Functions).toEqual([]);
  const { QueueUrls = [] } = await new SQSClient(client).send(new ListQueuesCommand({}));
  expect(QueueUrls).toEqual([]);
  const { logGroups = [] } = await new CloudWatchLogsClient(client).send(new DescribeLogGroupsCommand({}));
  expect(
    logGroups.map(({ logGroupName = '' }) => logGroupName).filter((name) => name.includes(FLEET)),
  ).toEqual([]);
});
