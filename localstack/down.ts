/**
 * `npm run localstack:down [-- --destroy]`: ends what `localstack:up` and `localstack:deploy` started, and nothing else. LocalStack
 * forgets its stacks then; `--destroy` has the CDK destroy them before, to see that it can.
 */
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { destroyFleet } from './fleet.ts';
import { endProcess } from './known-process.ts';
import { LOCAL_FLEET } from './local-fleet.ts';
import { runProgram } from './run-program.ts';
import { type LocalState, readRunning, readState, removeState } from './state.ts';

const GRACE_MS = 30_000;

await runProgram(async () => {
  const { values } = parseArgs({ options: { destroy: { type: 'boolean', default: false } } });
  const state = readState();
  if (state === undefined) {
    console.log('Nothing is up.');
    return;
  }
  if (state.notifier !== undefined) await endProcess(state.notifier, 'SIGTERM', GRACE_MS);
  if (values.destroy && readRunning() !== undefined) {
    await destroyFleet({ endpoint: state.endpoint, ...LOCAL_FLEET });
    console.log(`Destroyed: stack ${LOCAL_FLEET.fleetName}.`);
  }
  await endAll(state);
  removeState();
  console.log('Everything has ended.');
});

/** The keeper ends the others; what it could not, because it was killed, is ended here. */
async function endAll({ keeper, localStack, databases }: LocalState): Promise<void> {
  await endProcess(keeper, 'SIGTERM', GRACE_MS);
  await endProcess(localStack, 'SIGTERM', GRACE_MS);
  for (const database of databases) {
    // Postgres takes it for "end the sessions and shut down".
    await endProcess(database, 'SIGINT', GRACE_MS);
    rmSync(database.folder, { recursive: true, force: true });
  }
}
