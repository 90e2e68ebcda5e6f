/** `npm run localstack:up [-- --port 4566]`: LocalStack and two Postgres servers in the background. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readState } from './state.ts';

const { values } = parseArgs({ options: { port: { type: 'string', default: '4566' } } });
const running = readState();
if (running === undefined) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'keep.ts'), values.port], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  while (readState() === undefined) {
    if (child.exitCode !== null) throw new Error('it ended; its message is above');
    await sleep(200);
  }
  child.unref();
}
const state = readState();
console.log(`LocalStack is at ${state?.endpoint ?? ''}
  source ${state?.sourceUrl ?? ''}
  target ${state?.targetUrl ?? ''}
Next: npm run localstack:deploy, npm run localstack:test, and npm run localstack:down in the end.`);
process.exit(0);
