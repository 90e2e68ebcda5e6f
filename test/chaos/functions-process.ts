/** The functions of a chaos run as a process that may be killed. */
import { startLocalFunctions } from '../../cli/local-functions.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { resolveUrl } from '../../shared/config/secrets.ts';
import type { LocalSqs } from '../../shared/local/sqs-server.ts';
import { jsonLog } from '../../shared/telemetry/log.ts';

const sqs = JSON.parse(process.argv[2] ?? '') as LocalSqs;
const { fleet } = await loadConfig({ cwd: process.cwd() });
startLocalFunctions({
  fleet,
  resolveUrl,
  sqs,
  log: jsonLog((line) => process.stderr.write(line)),
  sweepIntervalMs: 2_000,
  heartbeat: { visibilitySeconds: 4, intervalSeconds: 1 },
  // A minute is a second.
  letterDelay: (seconds) => Math.ceil(seconds / 60),
});
process.stdout.write('ready\n');
