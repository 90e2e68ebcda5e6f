/** `bucardo config`: reads the configuration and shows what it means, without connecting anywhere. */
import process from 'node:process';
import type { Command } from 'commander';
import { describeReference } from '../shared/config/database-url.ts';
import { lanesOfSync } from '../shared/config/lanes.ts';
import { redactUrl } from '../shared/config/redact-url.ts';
import { displaySelector } from '../shared/config/relations.ts';
import type { Database, Fleet, Sync } from '../shared/config/types.ts';
import { readFleet } from './read-fleet.ts';

export function registerConfig(program: Command): void {
  program
    .command('config')
    .description('check the configuration file and show what it means; connects to nothing')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  bucardo config --json | jq .lanes')
    .action(async (options: { readonly json?: true }, command: Command) => {
      const { fleet, file } = await readFleet(command);
      const text = options.json === true ? JSON.stringify(asJson(fleet, file), null, 2) : asText(fleet, file);
      process.stdout.write(`${text}\n`);
    });
}

function asJson(fleet: Fleet, file: string): object {
  const syncs = [...fleet.syncs.values()];
  return {
    file,
    fleet: fleet.name,
    databases: [...fleet.databases.values()].map((database) => ({ ...database, url: shownUrl(database) })),
    syncs: syncs.map((sync) => ({
      ...sync,
      include: sync.include.map(displaySelector),
      exclude: sync.exclude.map(displaySelector),
    })),
    lanes: syncs.flatMap(lanesOfSync),
  };
}

function asText(fleet: Fleet, file: string): string {
  const databases = [...fleet.databases.values()];
  const width = Math.max(...databases.map(({ name }) => name.length));
  return [
    `${file} is correct.`,
    '',
    `Fleet ${fleet.name}`,
    ...databases.map(
      (database) => `  ${database.name.padEnd(width)}  ${database.engine}  ${shownUrl(database)}`,
    ),
    ...[...fleet.syncs.values()].flatMap(syncLines),
  ].join('\n');
}

function syncLines(sync: Sync): readonly string[] {
  const excluded =
    sync.exclude.length === 0 ? '' : ` without ${sync.exclude.map(displaySelector).join(', ')}`;
  const kicks = [sync.autokick ? 'on every change' : undefined, sync.schedule].filter(
    (when) => when !== undefined,
  );
  return [
    '',
    `Sync ${sync.name}`,
    `  ${sync.source} → ${sync.targets.join(', ')}`,
    `  tables  ${sync.include.map(displaySelector).join(', ')}${excluded}`,
    `  runs    ${kicks.length === 0 ? 'when kicked by hand' : kicks.join(', and ')}`,
    `  copy    ${sync.copy}`,
  ];
}

function shownUrl({ url }: Database): string {
  return typeof url === 'string' ? redactUrl(url) : describeReference(url);
}
