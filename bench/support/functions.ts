/** A lane run by functions with little time and little memory: each is a process that is killed when its time is over. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { FunctionInput, FunctionReport } from './function-child.ts';

export interface FunctionLimits {
  readonly seconds: number;
  readonly megabytes: number;
}

export interface FunctionsEnd {
  readonly invocations: number;
  readonly killed: number;
  readonly seconds: number;
  /** Resident memory of the largest process, MiB. */
  readonly peakMegabytes: number;
}

/** One after the other, until one says that nothing is left. */
export async function runFunctions(
  config: object,
  limits: FunctionLimits,
  mostInvocations: number,
): Promise<FunctionsEnd> {
  const startedAtMs = performance.now();
  let killed = 0;
  let peakBytes = 0;
  for (let invocations = 1; invocations <= mostInvocations; invocations += 1) {
    const report = await invoke({ config, seconds: limits.seconds }, limits);
    peakBytes = Math.max(peakBytes, report.peakBytes);
    if (report.more === undefined) killed += 1;
    if (report.more === false) {
      const seconds = (performance.now() - startedAtMs) / 1000;
      return { invocations, killed, seconds, peakMegabytes: peakBytes / 2 ** 20 };
    }
  }
  throw new Error(`not done after ${mostInvocations} invocations`);
}

async function invoke(input: FunctionInput, { seconds, megabytes }: FunctionLimits): Promise<FunctionReport> {
  const child = fork(join(import.meta.dirname, 'function-child.ts'), {
    execArgv: [`--max-old-space-size=${megabytes}`],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let last: FunctionReport = { peakBytes: 0 };
  child.on('message', (report) => {
    last = report as FunctionReport;
    if (last.peakBytes > megabytes * 2 ** 20) child.kill('SIGKILL');
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
  child.send(input);
  await once(child, 'close');
  clearTimeout(limit);
  return last;
}
