/**
 * `npm run demo`: one source, two targets, and the whole of the program between them, in one process and with nothing
 * installed. All figures are read from the databases and the queue or counted by the applications; nothing is staged.
 * Exit status: 0 source and targets are equal, 1 they are not or something failed, 2 wrong use, 130 interrupted.
 */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalFleet, startLocalFleet } from '../../cli/local-fleet.ts';
import { formatCount } from '../../cli/table.ts';
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource } from '../../shared/capture/plan-source.ts';
import { resolveUrl } from '../../shared/config/secrets.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { beBusy } from './busy-time.ts';
import { allEqual, compareDatabases } from './compare.ts';
import { type FleetEvents, openEvents } from './events.ts';
import { followChange } from './follow-change.ts';
import { type Observed, untilLevel } from './moment.ts';
import { type DemoOptions, parseOptions, USAGE } from './options.ts';
import { createScreen, type Screen } from './screen.ts';
import { fillShop, type Servers, withServers } from './servers.ts';
import { shopFleet, TARGETS } from './shop.ts';
import { verdictLines } from './verdict.ts';

/** Far more than two lanes need for what is left when the applications stop. */
const LEVEL_WITHIN_SECONDS = 60;

/** As shells count a death by SIGINT. */
const INTERRUPTED = 130;

/** A signal that ended the servers has reached this process by then. */
const SIGNAL_WITHIN_MS = 100;

interface Demo {
  readonly options: DemoOptions;
  readonly screen: Screen;
  readonly events: FleetEvents;
  readonly signal: AbortSignal;
}

/** @returns whether source and targets are equal */
async function show(demo: Demo): Promise<boolean> {
  const { screen, signal, options } = demo;
  screen.say(
    'Bucardo Serverless: one Postgres source, two targets, and all that is between them, on this machine.',
    '',
  );
  screen.say('1  Starting three Postgres servers …');
  return await withServers(signal, async (servers) => {
    screen.say(`   shop (the source), reports and archive (the targets) run Postgres ${servers.shop.major}.`);
    screen.say(
      '2  Filling the shop: customers, products, orders and their lines. The targets have the tables, but no rows …',
    );
    await fillShop(servers);
    signal.throwIfAborted();
    const urls = { shop: servers.shop.url(), reports: servers.reports.url(), archive: servers.archive.url() };
    const fleet = shopFleet(urls);
    return await withConnection({ database: 'shop', url: urls.shop, purpose: 'demo' }, async (source) => {
      await apply(demo, source, fleet);
      const local = await startLocalFleet({ fleet, resolveUrl, log: demo.events.log });
      try {
        const equal = await replicate(demo, { fleet, servers, source, local });
        if (options.keep) await keepRunning(demo, servers, local);
        return equal;
      } finally {
        await local.stop();
      }
    });
  });
}

/** What `bucardo apply` does. */
async function apply({ screen, events, signal }: Demo, source: Connection, fleet: Fleet): Promise<void> {
  const database = fleet.databases.get('shop');
  if (database === undefined) throw new RangeError('the fleet has a shop');
  screen.say('3  bucardo apply: a capture trigger and a delta table for each table of the shop.');
  const plan = await planSource(source, { database, syncs: [...fleet.syncs.values()] });
  const done = await applyPlan(source, plan, { log: events.log });
  screen.say(...done.steps.map(({ title }) => `   ${title}`));
  signal.throwIfAborted();
}

interface Running {
  readonly fleet: Fleet;
  readonly servers: Servers;
  readonly source: Connection;
  readonly local: LocalFleet;
}

async function replicate(demo: Demo, { fleet, servers, source, local }: Running): Promise<boolean> {
  const { screen, events, signal, options } = demo;
  const observed: Observed = { source, queue: local.queue, fleet, screen, signal };

  screen.say('4  Queue, notifier and handlers start. The targets are empty, so the first copy begins.');
  const copied = await untilLevel(observed, 'first copy', LEVEL_WITHIN_SECONDS);
  screen.settle();
  if (!copied) throw new Error('the first copy has not ended in time');

  screen.say('5  One change on its way:');
  screen.say(...(await followChange(source, servers, events, signal)));

  screen.say(
    `6  Four applications write for ${options.seconds} s: inserts, updates, deletes, changed keys, swapped unique values, rollbacks.`,
    '   A wake-up makes the notifier send kicks to SQS; each kick lets the replicate handler run one lane,',
    '   which goes on as long as it finds something that is pending.',
  );
  const { changes, committed, rolledBack } = await beBusy({ ...observed, servers, ...options });
  screen.settle();
  const { kicks, runs, failedRuns } = events.counts();
  screen.say(
    `   ${formatCount(changes)} changes in ${formatCount(committed)} transactions, and ${formatCount(rolledBack)} that were rolled back.`,
    `   ${formatCount(kicks)} kicks, ${formatCount(runs)} runs that went well, ${formatCount(failedRuns)} that failed while archive was away.`,
    '7  The applications have stopped. Waiting until nothing is pending …',
  );
  const level = await untilLevel(observed, 'catching up', LEVEL_WITHIN_SECONDS);
  screen.settle();
  if (!level) screen.say(`   Something is still pending after ${LEVEL_WITHIN_SECONDS} s.`);

  screen.say('8  Comparing every row of every table, in SQL, on each server:');
  const verdicts = await withTargets(servers, (targets) => compareDatabases(source, targets));
  screen.say('', ...verdictLines(verdicts), '');
  return level && allEqual(verdicts);
}

async function withTargets<Result>(
  servers: Servers,
  body: (targets: readonly Connection[]) => Promise<Result>,
  opened: readonly Connection[] = [],
): Promise<Result> {
  const name = TARGETS[opened.length];
  if (name === undefined) return await body(opened);
  return await withConnection({ database: name, url: servers[name].url(), purpose: 'demo' }, (db) =>
    withTargets(servers, body, [...opened, db]),
  );
}

async function keepRunning({ screen, signal }: Demo, servers: Servers, local: LocalFleet): Promise<void> {
  screen.say(
    'Everything keeps running, and whatever you change at the shop goes to both targets:',
    ...(['shop', ...TARGETS] as const).map((name) => `   ${name.padEnd(8)} ${servers[name].url()}`),
    `   queue    ${local.sqs.kicks.url}`,
    `Stop it with Ctrl-C, or with: kill ${process.pid}`,
  );
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if ('wrong' in options) {
    process.stderr.write(`${options.wrong}\n\n${USAGE}\n`);
    return 2;
  }
  const stopping = new AbortController();
  const screen = createScreen(process.stdout);
  // Asked twice or ten times (a shell may pass the same Ctrl-C on): cleaning up goes on.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!stopping.signal.aborted) screen.say('', 'Cleaning up …');
      stopping.abort();
    });
  }
  // `npm run demo | head` closes the pipe: nobody reads on.
  process.stdout.on('error', () => stopping.abort());

  const events = openEvents(options.verbose);
  let equal: boolean | undefined;
  try {
    equal = await show({ options, screen, events, signal: stopping.signal });
  } catch (error) {
    // Ctrl-C in a terminal reaches the servers too, and their end may be noticed before the signal is.
    await sleep(SIGNAL_WITHIN_MS);
    if (!stopping.signal.aborted) screen.say('', explain(error));
  }
  const interrupted = stopping.signal.aborted && equal === undefined;
  events.close(!interrupted);
  if (interrupted) return INTERRUPTED;
  if (events.file !== undefined) screen.say(`Every event of the fleet is in ${events.file}`);
  return equal === true ? 0 : 1;
}

function explain(error: unknown): string {
  const known = asBucardoError(error);
  if (known.code !== 'BUC-UNEXPECTED') return known.toText();
  return error instanceof Error ? error.message : known.toText();
}

process.exitCode = await main();
