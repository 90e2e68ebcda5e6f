/** `bucardo copy`: brings whole tables over again, while changes go on, and shows how far it is. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { findSync, pickLanes } from '../shared/config/lanes.ts';
import type { Lane, Sync } from '../shared/config/types.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import type { Connection } from '../shared/postgres/connection.ts';
import { displayRelation, type RelationName } from '../shared/postgres/identifiers.ts';
import { acceptRows } from '../shared/replicate/accept-rows.ts';
import { requestCopy } from '../shared/replicate/request-copy.ts';
import { type LaneStatus, readStatus } from '../shared/status/read-status.ts';
import { copyLine } from './copy-text.ts';
import { openQueue } from './open-queue.ts';
import { parseTable } from './parse-table.ts';
import { readFleet } from './read-fleet.ts';

interface CopyOptions {
  readonly to?: string;
  readonly table?: RelationName;
  readonly wait?: true;
  readonly accept?: true;
  readonly json?: true;
}

const LOOK_EVERY_MS = 500;

export function registerCopy(program: Command): void {
  program
    .command('copy')
    .description('empty tables at the target and bring them over whole, while changes go on')
    .argument('<sync>', 'name of the sync')
    .option('--to <target>', 'only to this target')
    .option('--table <schema.table>', 'only this table', parseTable)
    .option('--wait', 'wait until the copy is done, and show how far it is')
    .option('--accept', 'copy nothing: the rows that the target had before the first copy are right')
    .option('--json', 'print the outcome as JSON')
    .addHelpText('after', '\nExample:\n  bucardo copy orders --to reports --table public.orders --wait')
    .action(async (name: string, options: CopyOptions, command: Command) => {
      const { fleet, file } = await readFleet(command);
      const sync = findSync(fleet, name);
      const lanes = pickLanes(fleet, name, options.to);
      if (options.accept === true) {
        const accepted = await withFleetDatabase(fleet, 'command')(sync.source, (source) =>
          acceptRows(source, { sync: name, destination: options.to, relation: options.table }),
        );
        report(accepted, options, 'accepted');
        return;
      }
      const queue = openQueue(file);
      try {
        await withFleetDatabase(fleet, 'command')(sync.source, async (source) => {
          const relation = options.table;
          const copies = await requestCopy(source, { sync: name, destination: options.to, relation });
          if (copies.length === 0) throw nothingToCopy(sync, relation);
          await queue.send(lanes.map(({ id }) => ({ lane: id, reason: 'copy' })));
          if (options.wait === true) await untilCopied(source, sync, lanes, options);
          report(copies, options, options.wait === true ? 'copied' : 'wanted');
        });
      } finally {
        queue.close();
      }
    });
}

function nothingToCopy({ name, source }: Sync, relation: RelationName | undefined): BucardoError {
  return new BucardoError('BUC-NOT-APPLIED', {
    sync: name,
    database: source,
    ...(relation === undefined ? {} : { relation: displayRelation(relation) }),
    detail: 'the source knows no such table or lane of the sync',
  });
}

/** Shows the progress of the tables on standard error, if that is a terminal. */
async function untilCopied(
  source: Connection,
  sync: Sync,
  lanes: readonly Lane[],
  { json }: CopyOptions,
): Promise<void> {
  const ids = new Set(lanes.map(({ id }) => id));
  const shown = json !== true && process.stderr.isTTY;
  let drawn = 0;
  for (;;) {
    const status = (await readStatus(source, [sync])).filter(({ lane }) => ids.has(lane));
    if (shown) drawn = draw(status, drawn);
    const failed = status.find(({ copies, held }) =>
      copies.some(({ relation }) => held.some((one) => one.relation === relation)),
    );
    if (failed !== undefined) {
      throw new BucardoError('BUC-LANE-NOT-DONE', {
        sync: sync.name,
        database: failed.destination,
        detail: failed.held[0]?.message,
      });
    }
    if (status.every(({ copies }) => copies.length === 0)) return;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Redraws the lines in place. Returns how many there are. */
function draw(status: readonly LaneStatus[], drawn: number): number {
  const lines = status.flatMap(({ lane, copies }) => copies.map((copy) => `${lane}  ${copyLine(copy)}`));
  const up = drawn === 0 ? '' : `\u001B[${drawn}A`;
  process.stderr.write(`${up}\u001B[J${lines.map((line) => `${line}\n`).join('')}`);
  return lines.length;
}

function report(
  copies: Awaited<ReturnType<typeof requestCopy>>,
  { json }: CopyOptions,
  outcome: 'copied' | 'wanted' | 'accepted',
): void {
  const rows = copies.map(({ destination, ...relation }) => ({
    destination,
    table: displayRelation(relation),
    outcome,
  }));
  const text =
    json === true
      ? JSON.stringify(rows, null, 2)
      : rows.length === 0
        ? 'No table was left out of the first copy.'
        : rows.map(({ destination, table }) => `${table} to ${destination}: ${outcome}`).join('\n');
  process.stdout.write(`${text}\n`);
}
