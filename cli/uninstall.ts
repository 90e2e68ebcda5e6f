/** `bucardo uninstall`: takes everything off the sources again and proves it. */
import process from 'node:process';
import type { Command } from 'commander';
import { readIdentity } from '../shared/capture/source-identity.ts';
import { eachSource } from '../shared/capture/each-source.ts';
import { uninstall, type UninstallProof } from '../shared/capture/uninstall.ts';
import type { Fleet } from '../shared/config/types.ts';
import { type WithDatabase, withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import type { RelationName } from '../shared/postgres/identifiers.ts';
import { clearTargets, type TargetOutcome } from '../shared/targets/lane-tables.ts';
import { jsonLog } from '../shared/telemetry/log.ts';
import { parseTable } from './parse-table.ts';
import { readFleet } from './read-fleet.ts';

interface UninstallCommandOptions {
  readonly table?: RelationName;
  readonly json?: true;
}

export function registerUninstall(program: Command): void {
  program
    .command('uninstall')
    .description(
      'remove triggers, functions and queue tables from the sources; what waits for a target is lost',
    )
    .option('--table <schema.table>', 'stop capturing only this table', parseTable)
    .option('--json', 'print the proof as JSON')
    .addHelpText('after', '\nExample:\n  bucardo uninstall --table public.orders')
    .action(async ({ table, json }: UninstallCommandOptions, command: Command) => {
      const { fleet } = await readFleet(command);
      const log = jsonLog((line) => process.stderr.write(line), 'warn');
      const withDatabase = withFleetDatabase(fleet, 'command');
      // Before the sources: one that is a target too has both in the same schema.
      const targets = table === undefined ? await clearAll(fleet, withDatabase) : [];
      const proofs = await eachSource(fleet, withDatabase, async (source) => ({
        source: source.database,
        ...(await uninstall(source, { log, ...(table === undefined ? {} : { relation: table }) })),
      }));
      process.stdout.write(
        `${json === true ? JSON.stringify(proofs, null, 2) : proofs.flatMap(lines).join('\n')}\n`,
      );
      for (const outcome of targets) tellTarget(outcome, json === true);
      if (targets.some(({ problem }) => problem !== undefined)) process.exitCode = 1;
      if (proofs.some(({ remaining }) => remaining.length > 0)) process.exitCode = 1;
    });
}

async function clearAll(fleet: Fleet, withDatabase: WithDatabase): Promise<readonly TargetOutcome[]> {
  const places = await eachSource(fleet, withDatabase, async (source) => (await readIdentity(source)).place);
  return await clearTargets(fleet, withDatabase, places);
}

function tellTarget({ target, done, problem }: TargetOutcome, quiet: boolean): void {
  if (problem !== undefined) {
    process.stderr.write(`Target ${target}: the table bucardo.lane may be left\n${problem.toText()}\n`);
  }
  if (done && !quiet) process.stdout.write(`Target ${target}: nothing of ours is left\n`);
}

function lines({
  source,
  remaining,
  foreign,
}: UninstallProof & { readonly source: string }): readonly string[] {
  const verdict = remaining.length === 0 ? 'nothing of ours is left' : 'these are left';
  return [
    `Source ${source}: ${verdict}`,
    ...remaining.map((object) => `  ${object}`),
    ...(foreign.length === 0
      ? []
      : ['Schema bucardo stays, it holds what is not ours:', ...foreign.map((object) => `  ${object}`)]),
  ];
}
