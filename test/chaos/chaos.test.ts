/**
 * A fleet of processes whose every part is killed again and again while applications write: notifier, functions, queue with all that
 * is in it, source and targets. Both targets end equal to the source, and every dead letter has led to a lane that is well.
 *
 * What happens is drawn from a seed; how it falls together is up to the machine. `CHAOS_SECONDS=600` takes ten minutes of it,
 * `SEED=n` draws the same again.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../shared/config/load-config.ts';
import { freePort, type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { createKickQueue } from '../../shared/queue/kick-queue.ts';
import { deadLetterQueueName, kickQueueName } from '../../shared/queue/names.ts';
import { applySource, sourceDatabase } from '../support/captured-source.ts';
import { expectEqualDatabases, settleLanes } from '../support/end-equal.ts';
import { randomFrom, type Random } from '../support/random.ts';
import { application } from '../support/random-application.ts';
import { RANDOM_ROWS, RANDOM_SCHEMA, RANDOM_TABLES, randomTransaction } from '../support/random-world.ts';
import { waitFor } from '../support/wait-for.ts';
import { Part } from './part.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const SECONDS = Number(process.env['CHAOS_SECONDS'] ?? 60);
const SETTLE_SECONDS = 180;

const FLEET = 'chaos';
const NAMES = ['east', 'reports', 'archive'] as const;
type Name = (typeof NAMES)[number];

/** At one of the targets the lane may only write rows: foreign keys stay in force there. */
const WRITER = 'writer';

const SESSIONS = 3;

/** How often something ends without warning, and for how long it is away at most. */
const FATES = {
  notifier: { everySeconds: 5, awaySeconds: 2 },
  functions: { everySeconds: 6, awaySeconds: 2 },
  queue: { everySeconds: 12, awaySeconds: 3 },
  east: { everySeconds: 15, awaySeconds: 2 },
  reports: { everySeconds: 20, awaySeconds: 15 },
  archive: { everySeconds: 15, awaySeconds: 4 },
} as const;

interface Victim {
  readonly name: keyof typeof FATES;
  readonly end: () => Promise<void>;
  readonly start: () => Promise<void>;
}

interface Event {
  readonly event: string;
  readonly sync?: string;
  readonly destination?: string;
}

const servers = new Map<Name, PostgresServer>();
const parts = new Map<string, Part>();
let folder: string;
let port: number;
/** What parts log, in order, and `queue killed` each time when letters were lost with the queue. */
const events: Event[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bucardo-chaos-'));
  for (const name of NAMES) {
    const server = await startPostgres({ settings: { synchronous_commit: 'on' } });
    servers.set(name, server);
    await inDatabase(
      name,
      `create role ${WRITER} login; set search_path to public; ${RANDOM_SCHEMA};
      grant select, insert, update, delete on all tables in schema public to ${WRITER}`,
    );
  }
  await inDatabase('east', `set search_path to public; ${RANDOM_ROWS}`);
  writeFileSync(join(folder, 'bucardo.config.ts'), configuration());
  port = await freePort();
  const { fleet } = await loadConfig({ cwd: folder });
  await applySource(serverOf('east').url(), [...fleet.syncs.values()], sourceDatabase('notify', 'east'));
  for (const part of [queue(), functions(), notifier()]) {
    parts.set(part.name, part);
    await part.start();
  }
});

afterAll(async () => {
  await Promise.all([...parts.values()].map((part) => part.kill()));
  await Promise.all([...servers.values()].map((server) => server.destroy()));
  rmSync(folder, { recursive: true, force: true });
});

function serverOf(name: Name): PostgresServer {
  const server = servers.get(name);
  if (server === undefined) throw new Error(`no server ${name}`);
  return server;
}

async function inDatabase(name: Name, sql: string): Promise<void> {
  await withConnection({ database: name, url: serverOf(name).url(), purpose: 'test setup' }, (db) =>
    db.script(sql),
  );
}

function configuration(): string {
  const databases = NAMES.map((name) => {
    const url = serverOf(name).url('postgres', name === 'archive' ? WRITER : 'postgres');
    return `${name}: { engine: 'postgres', url: '${url}' }`;
  });
  return `import { defineConfig } from ${JSON.stringify(join(import.meta.dirname, '../../shared/config/index.ts'))};
    export default defineConfig({
      fleet: '${FLEET}',
      databases: { ${databases.join(', ')} },
      syncs: { orders: { sources: ['east'], targets: ['reports', 'archive'], tables: ['public.*'], batchRows: 50 } },
    });`;
}

const endpoint = (): string => `http://127.0.0.1:${port}`;
const queueUrl = (name: string): string => `${endpoint()}/000000000000/${name}`;

function onLine(line: string): void {
  // Node's own warnings are no events.
  if (line.startsWith('{')) events.push(JSON.parse(line) as Event);
}

function partOf(name: string, program: string, ...args: readonly string[]): Part {
  return new Part({
    name,
    program: join(import.meta.dirname, program),
    args,
    cwd: folder,
    environment: {
      BUCARDO_QUEUE_URL: queueUrl(kickQueueName(FLEET)),
      AWS_ENDPOINT_URL_SQS: endpoint(),
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    },
    onLine,
  });
}

const queue = (): Part => partOf('queue', 'queue-process.ts', FLEET, String(port));
const notifier = (): Part => partOf('notifier', '../../notifier/main.ts');

function functions(): Part {
  const at = (name: string) => ({ url: queueUrl(name), arn: `arn:aws:sqs:us-east-1:000000000000:${name}` });
  const sqs = {
    endpoint: endpoint(),
    region: 'us-east-1',
    kicks: at(kickQueueName(FLEET)),
    deadLetters: at(deadLetterQueueName(FLEET)),
  };
  return partOf('functions', 'functions-process.ts', JSON.stringify(sqs));
}

function victims(): readonly Victim[] {
  return [
    ...(['notifier', 'functions', 'queue'] as const).map((name) => ({
      name,
      end: async () => {
        await parts.get(name)?.kill();
        if (name === 'queue') events.push({ event: 'queue killed' });
      },
      start: async () => await parts.get(name)?.start(),
    })),
    ...NAMES.map((name) => ({
      name,
      end: () => serverOf(name).stop('immediate'),
      start: () => serverOf(name).start(),
    })),
  ];
}

/** Ends the victim now and then, and starts it again. Resolves soon after `over`, when it runs. Returns how often. */
async function torment({ name, end, start }: Victim, random: Random, over: AbortSignal): Promise<number> {
  const { everySeconds, awaySeconds } = FATES[name];
  for (let times = 0; ; times += 1) {
    await sleep(random.below(2_000 * everySeconds), undefined, { signal: over }).catch(() => {});
    if (over.aborted) return times;
    await end();
    await sleep(random.below(1_000 * awaySeconds));
    await start();
  }
}

/** One target stays away until a kick for it is a dead letter. */
async function makeDeadLetter(): Promise<void> {
  const before = events.length;
  await serverOf('reports').stop('immediate');
  await inDatabase('east', `insert into public.loose values (md5('the last')::uuid)`);
  await waitFor(
    () =>
      events
        .slice(before)
        .some(({ event, destination }) => event === 'dead-letter.waiting' && destination === 'reports'),
    SETTLE_SECONDS * 1_000,
    'a dead letter',
  );
  await serverOf('reports').start();
}

function* endlessly(random: Random, over: AbortSignal): Generator<string> {
  while (!over.aborted) yield* randomTransaction(random);
}

/** The last that was heard of a lane's dead letters, if there were any. */
function lastOfLetters(destination: string): string | undefined {
  return events.findLast(
    (event) =>
      event.event === 'queue killed' ||
      (event.destination === destination && /^dead-letter\.(waiting|recovered)$/.test(event.event)),
  )?.event;
}

test(
  `after ${SECONDS} seconds of chaos the targets are equal to the source (SEED=${SEED})`,
  async () => {
    const over = AbortSignal.timeout(SECONDS * 1_000);
    const random = randomFrom(SEED);
    const apart = (): Random => randomFrom(random.below(2 ** 31));
    const tormented = victims().map((victim) => torment(victim, apart(), over));
    const writing = Array.from({ length: SESSIONS }, () =>
      application(serverOf('east').url(), endlessly(apart(), over), () => sleep(3)),
    );
    const times = await Promise.all(tormented);
    const statements = (await Promise.all(writing)).reduce((sum, done) => sum + done, 0);
    console.log(
      `${statements} statements; ended without warning: ${victims()
        .map(({ name }, index) => `${name} ${times[index]} times`)
        .join(
          ', ',
        )}; dead letters seen ${events.filter(({ event }) => event === 'dead-letter.waiting').length} times`,
    );
    for (const part of parts.values()) if (!part.running) await part.start();
    await makeDeadLetter();

    const { fleet } = await loadConfig({ cwd: folder });
    const urlOf = (name: string): string => serverOf(name as Name).url();
    await settleLanes(fleet, urlOf, SETTLE_SECONDS);
    const targets = ['reports', 'archive'];
    await expectEqualDatabases({ source: 'east', targets, urlOf, tables: RANDOM_TABLES });

    const letters = createKickQueue({ queueUrl: queueUrl(deadLetterQueueName(FLEET)), endpoint: endpoint() });
    await waitFor(
      async () => {
        const { visible, inFlight } = await letters.depth();
        return visible + inFlight === 0;
      },
      60_000,
      'the dead letters to go',
    );
    letters.close();
    expect(lastOfLetters('reports')).toBe('dead-letter.recovered');
    for (const target of targets) {
      expect(lastOfLetters(target), target).not.toBe('dead-letter.waiting');
    }
    await withConnection({ database: 'east', url: urlOf('east'), purpose: 'test' }, async (db) => {
      expect(
        await db.rows(
          'select destination from bucardo.lane_status where failures > 0 or dead_letter_at is not null',
        ),
      ).toEqual([]);
      expect(await db.rows('select from bucardo.rejected_row')).toEqual([]);
    });
    // What was to happen did happen.
    expect(Math.min(...times)).toBeGreaterThan(0);
    expect(statements).toBeGreaterThan(SECONDS * 20);
  },
  (SECONDS + 2 * SETTLE_SECONDS) * 1_000,
);
