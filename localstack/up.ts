/** `npm run localstack:up [-- --port 4566]`: LocalStack and two Postgres servers in the background. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runProgram } from './run-program.ts';
import { type LocalState, readRunning, STATE_FOLDER } from './state.ts';

await runProgram(async () => {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '4566' } } });
  const state = readRunning() ?? (await startKeeper(values.port));
  console.log(`LocalStack is at ${state.endpoint}
  source ${state.sourceUrl}
  target ${state.targetUrl}
Next: npm run localstack:deploy, npm run localstack:test, and npm run localstack:down in the end.`);
});

async function startKeeper(port: string): Promise<LocalState> {
  mkdirSync(STATE_FOLDER, { recursive: true });
  const logFile = join(STATE_FOLDER, 'keep.log');
  const log = openSync(logFile, 'w');
  // Nothing of ours is handed on: who waits for the end of our output must not wait for its end.
  const keeper = spawn(process.execPath, [join(import.meta.dirname, 'keep.ts'), port], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  for (;;) {
    const running = readRunning();
    if (running !== undefined) {
      keeper.unref();
      return running;
    }
    if (keeper.exitCode !== null || keeper.signalCode !== null) {
      throw new Error(`LocalStack or the databases did not start: ${readFileSync(logFile, 'utf8').trim()}`);
    }
    await sleep(100);
  }
}
