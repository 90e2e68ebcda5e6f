/** `npm run localstack:deploy`: prepares the source, deploys the fleet's stack with the plain CDK, and starts the notifier beside it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { environmentFor } from './aws-environment.ts';
import { bootstrap, deployFleet, stackOutputs } from './fleet.ts';
import { endProcess } from './known-process.ts';
import { LOCAL_FLEET } from './local-fleet.ts';
import { startNotifier } from './notifier.ts';
import { runProgram } from './run-program.ts';
import { requireRunning, writeState } from './state.ts';

await runProgram(async () => {
  const state = requireRunning();
  const { endpoint } = state;
  const { configFile, fleetName, outDir } = LOCAL_FLEET;

  applyAtSource(configFile, endpoint);
  await bootstrap(endpoint, outDir);
  await deployFleet({ endpoint, ...LOCAL_FLEET });
  const { KickQueueUrl = '' } = await stackOutputs(endpoint, fleetName);

  if (state.notifier !== undefined) await endProcess(state.notifier, 'SIGTERM', 10_000);
  const notifier = await startNotifier({ endpoint, configFile, queueUrl: KickQueueUrl });
  writeState({ ...state, notifier });
  console.log(`Deployed: stack ${fleetName}. In another terminal:
  AWS_ENDPOINT_URL=${endpoint} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \\
    npm run bucardo -- status --config localstack/bucardo.config.ts --aws --stack ${fleetName}`);
});

function applyAtSource(configFile: string, endpoint: string): void {
  const { status } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, '../cli/main.ts'), '--config', configFile, 'apply'],
    { env: environmentFor(endpoint), stdio: 'inherit' },
  );
  if (status !== 0) throw new Error('bucardo apply failed; what it said is above');
}
