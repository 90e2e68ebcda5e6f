/** `bucardo rejected`: the rows that targets refused. */
import process from 'node:process';
import type { Command } from 'commander';
import { findSync, pickLanes } from '../shared/config/lanes.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import type { RelationName } from '../shared/postgres/identifiers.ts';
import {
  discardRejected,
  listRejected,
  type RejectedFilter,
  retryRejected,
} from '../shared/status/rejected-rows.ts';
import { openQueue } from './open-queue.ts';
import { parseTable } from './parse-table.ts';
import { readFleet } from './read-fleet.ts';
import { formatTable } from './table.ts';

interface FilterOptions {
  readonly to?: string;
  readonly table?: RelationName;
  readonly json?: true;
}

export function registerRejected(program: Command): void {
  const rejected = program
    .command('rejected')
    .description('list, retry or discard the rows that targets refused');
  filtered(rejected.command('list'), 'list them with their keys and errors')
    .addHelpText('after', '\nExample:\n  bucardo rejected list orders --to reports')
    .action(async (sync: string, options: FilterOptions, command: Command) => {
      const rows = await atSource(sync, options, command, listRejected);
      process.stdout.write(`${options.json === true ? JSON.stringify(rows, null, 2) : asTable(rows)}\n`);
    });
  filtered(rejected.command('retry'), 'try them again, after the cause was mended')
    .addHelpText('after', '\nExample:\n  bucardo rejected retry orders --table public.orders')
    .action(async (sync: string, options: FilterOptions, command: Command) => {
      const { fleet, file } = await readFleet(command);
      const queue = openQueue(file);
      try {
        const rows = await atSource(sync, options, command, retryRejected);
        await queue.send(
          pickLanes(fleet, sync, options.to).map(({ id }) => ({ lane: id, reason: 'manual' })),
        );
        report('retrying', rows, options);
      } finally {
        queue.close();
      }
    });
  filtered(rejected.command('discard'), 'forget them; the target keeps what it has')
    .addHelpText('after', '\nExample:\n  bucardo rejected discard orders --to reports')
    .action(async (sync: string, options: FilterOptions, command: Command) => {
      report('discarded', await atSource(sync, options, command, discardRejected), options);
    });
}

function filtered(command: Command, description: string): Command {
  return command
    .description(description)
    .argument('<sync>', 'name of the sync')
    .option('--to <target>', 'only those of this target')
    .option('--table <schema.table>', 'only those of this table', parseTable)
    .option('--json', 'print the outcome as JSON');
}

async function atSource<Result>(
  sync: string,
  { to, table }: FilterOptions,
  command: Command,
  body: (source: Connection, filter: RejectedFilter) => Promise<Result>,
): Promise<Result> {
  const { fleet } = await readFleet(command);
  const { source } = findSync(fleet, sync);
  if (to !== undefined) pickLanes(fleet, sync, to);
  return await withFleetDatabase(fleet, 'command')(source, (db) =>
    body(db, { sync, destination: to, relation: table }),
  );
}

function asTable(rows: Awaited<ReturnType<typeof listRejected>>): string {
  if (rows.length === 0) return 'No rejected rows.';
  return formatTable(
    [
      { title: 'lane', align: 'left' },
      { title: 'table', align: 'left' },
      { title: 'key', align: 'left' },
      { title: 'tries', align: 'right' },
      { title: 'error', align: 'left' },
    ],
    rows.map(({ lane, relation, key, attempts, message }) => [
      lane,
      relation,
      key.map((value) => value ?? 'NULL').join(', '),
      String(attempts),
      message,
    ]),
  ).join('\n');
}

function report(outcome: string, rows: number, { json }: FilterOptions): void {
  process.stdout.write(`${json === true ? JSON.stringify({ outcome, rows }) : `${outcome}: ${rows} rows`}\n`);
}
