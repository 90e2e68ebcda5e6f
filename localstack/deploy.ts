/** `npm run localstack:deploy`: prepares the source, deploys the fleet's stack with the plain CDK, and starts the notifier beside it. */
import { execFileSync, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { awsEnvironment, bootstrap, deployFleet, stackOutputs } from './fleet.ts';
import { requireState, runs, writeState } from './state.ts';

const ROOT = join(import.meta.dirname, '..');
const CONFIG = join(import.meta.dirname, 'bucardo.config.ts');
const FLEET = 'local';

const state = requireState();
const { endpoint } = state;
const outDir = join(ROOT, '.cache', 'localstack-state', 'cdk.out');
const environment = { ...process.env, ...awsEnvironment(endpoint) };

execFileSync(process.execPath, [join(ROOT, 'cli/main.ts'), '--config', CONFIG, 'apply'], {
  env: environment,
  stdio: 'inherit',
});
await bootstrap(endpoint, outDir);
await deployFleet({ endpoint, configFile: CONFIG, fleetName: FLEET, outDir });
const { KickQueueUrl = '' } = await stackOutputs(endpoint, FLEET);

if (state.notifierPid !== undefined && runs(state.notifierPid, 'notifier'))
  process.kill(state.notifierPid, 'SIGTERM');
const log = openSync(join(ROOT, '.cache', 'localstack-state', 'notifier.log'), 'a');
const notifier = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), '--config', CONFIG, 'notifier'], {
  env: { ...environment, BUCARDO_QUEUE_URL: KickQueueUrl },
  detached: true,
  stdio: ['ignore', 'pipe', log],
});
// It says `ready` once it listens.
await new Promise((resolve) => notifier.stdout?.once('data', resolve));
writeState({ ...state, notifierPid: notifier.pid ?? 0 });
console.log(`Deployed: stack ${FLEET}. In another terminal:
  AWS_ENDPOINT_URL=${endpoint} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \\
    npm run bucardo -- status --aws --stack ${FLEET}`);
process.exit(0);
