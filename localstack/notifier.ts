/** The notifier in the background: LocalStack has no Fargate for it. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentFor } from './aws-environment.ts';
import { type KnownProcess, knowProcess } from './known-process.ts';
import { STATE_FOLDER } from './state.ts';

export interface NotifierOptions {
  readonly endpoint: string;
  readonly configFile: string;
  readonly queueUrl: string;
}

/** Resolves when it listens at every source. @throws with its log if it ends before */
export async function startNotifier(options: NotifierOptions): Promise<KnownProcess> {
  const logFile = join(STATE_FOLDER, 'notifier.log');
  const log = openSync(logFile, 'w');
  const program = join(import.meta.dirname, '../cli/main.ts');
  const notifier = spawn(process.execPath, [program, '--config', options.configFile, 'notifier'], {
    env: { ...environmentFor(options.endpoint), BUCARDO_QUEUE_URL: options.queueUrl },
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  // It says so on a line of its own; its events are JSON.
  while (!/^ready$/m.test(readFileSync(logFile, 'utf8'))) {
    if (notifier.pid === undefined || notifier.exitCode !== null || notifier.signalCode !== null) {
      throw new Error(`the notifier did not start:\n${readFileSync(logFile, 'utf8')}`);
    }
    await sleep(50);
  }
  notifier.unref();
  return knowProcess(notifier.pid ?? 0);
}
