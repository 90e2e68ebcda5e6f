/** `npm run localstack:down`: ends what `localstack:up` and `localstack:deploy` started, and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readState, runs } from './state.ts';

const state = readState();
if (state === undefined) console.log('Nothing is up.');
else {
  const { pid, notifierPid } = state;
  if (notifierPid !== undefined && runs(notifierPid, 'notifier')) process.kill(notifierPid, 'SIGTERM');
  process.kill(pid, 'SIGTERM');
  while (runs(pid, 'keep.ts')) await sleep(100);
  console.log('Everything has ended.');
}
