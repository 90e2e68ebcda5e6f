/** One change on its way from the source to both targets, each step timed where it happens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import type { FleetEvents } from './events.ts';
import type { Servers } from './servers.ts';
import { TARGETS } from './shop.ts';

interface Step {
  readonly atMs: number;
  readonly text: string;
}

const ARRIVES_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 2;

/** @returns lines for people, in the order of time; a change that does not arrive says so */
export async function followChange(
  source: Connection,
  servers: Servers,
  events: FleetEvents,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const steps: Step[] = [];
  let committedAtMs = Number.POSITIVE_INFINITY;
  const note = (text: string): void => void steps.push({ atMs: performance.now(), text });
  const lanes = new Set<string>();
  const unlisten = events.listen((event, { sync, destination, rows, kicks }) => {
    if (performance.now() < committedAtMs) return;
    if (event === 'notifier.kicks.sent') note(`the notifier sends ${String(kicks)} kicks to the SQS queue`);
    if (event === 'lane.run.completed' && Number(rows) > 0) {
      note(`the replicate handler has run lane ${String(sync)}/${String(destination)}`);
      lanes.add(String(destination));
    }
  });
  try {
    const { id } = await source.row<{ id: string }>(
      `insert into public.customers (email, name) values ('followed@example.com', 'Followed') returning id`,
    );
    committedAtMs = performance.now();
    note('an application commits an insert into customers');
    await Promise.all(
      TARGETS.map((target) =>
        withConnection({ database: target, url: servers[target].url(), purpose: 'demo' }, async (db) => {
          const there = await until(() => isThere(db, id), signal);
          note(`the row is ${there ? '' : 'NOT '}at ${target}`);
        }),
      ),
    );
    // A run ends a little later than its row is there: it looks for more, and records what it did.
    await until(() => Promise.resolve(lanes.size === TARGETS.length), signal);
    const delta = await deltaOf(source, id);
    return [
      `   The trigger has left this in the same transaction: ${delta}`,
      ...steps
        .sort((a, b) => a.atMs - b.atMs)
        .map(
          ({ atMs, text }) =>
            `   ${String(Math.max(0, Math.round(atMs - committedAtMs))).padStart(5)} ms  ${text}`,
        ),
    ];
  } finally {
    unlisten();
  }
}

/** Whether the condition held in time. */
async function until(condition: () => Promise<boolean>, signal: AbortSignal): Promise<boolean> {
  const deadlineMs = performance.now() + ARRIVES_WITHIN_MS;
  while (performance.now() < deadlineMs) {
    if (await condition()) return true;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
  return false;
}

async function isThere(db: Connection, id: string): Promise<boolean> {
  const { there } = await db.row<{ there: boolean }>(
    `select exists (select from public.customers where id = $1) as there`,
    [id],
  );
  return there;
}

/** `bucardo.delta_public_customers (id 20001)`, as the delta table has it. */
async function deltaOf(source: Connection, id: string): Promise<string> {
  const { name } = await source.row<{ name: string }>(
    `select delta_name as name from bucardo.relation where (schema_name, table_name) = ('public', 'customers')`,
  );
  const rows = await source.rows<{ id: string }>(
    `select id from bucardo.${quoteIdentifier(name)} where id = $1`,
    [id],
  );
  return `bucardo.${name} (${rows.map((row) => `id ${row.id}`).join(', ')})`;
}
