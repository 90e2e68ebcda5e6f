/**
 * A process that runs one lane once and may be killed at any moment. Loads everything first, says `ready`, and starts when
 * its standard input says `go`; the outcome is its last line of standard output.
 */
import { once } from 'node:events';
import process from 'node:process';
import { DEFAULT_AWS_SETTINGS } from '../../shared/config/aws-settings.ts';
import { lanesOfSync } from '../../shared/config/lanes.ts';
import type { Sync } from '../../shared/config/types.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { jsonLog } from '../../shared/telemetry/log.ts';
import { sourceDatabase } from './captured-source.ts';

export interface LaneProcessInput {
  readonly sync: Sync;
  readonly destination: string;
  readonly urls: Readonly<Record<string, string>>;
}

const { sync, destination, urls } = JSON.parse(process.argv[2] ?? '') as LaneProcessInput;
const lane = lanesOfSync(sync).find((candidate) => candidate.destination === destination);
if (lane === undefined) throw new Error(`no lane to ${destination}`);

process.stdout.write('ready\n');
await once(process.stdin, 'data');
const connections = new ConnectionCache();
const outcome = await runLane(lane, {
  fleet: {
    name: 'test',
    databases: new Map(Object.keys(urls).map((name) => [name, sourceDatabase('poll', name)])),
    syncs: new Map([[sync.name, sync]]),
    aws: DEFAULT_AWS_SETTINGS,
  },
  resolveUrl: async ({ name }) => urls[name] ?? '',
  log: jsonLog((line) => process.stderr.write(line)),
  deadlineMs: Date.now() + 60_000,
  connections,
});
await connections.close();
const mostMemoryKb = process.resourceUsage().maxRSS;
process.stdout.write(`${JSON.stringify({ ...outcome, mostMemoryKb })}\n`);
process.exit(0);
