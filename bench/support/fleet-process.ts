/** Starts and stops the measured process. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface FleetProcess {
  /** Stops the fleet. Returns how much memory the process took at most beyond a bare Node, in MiB. */
  stop(): Promise<number>;
}

interface Memory {
  readonly baselineBytes: number;
  readonly peakBytes: number;
}

/** @param config as in bucardo.config.ts, with plain URLs */
export async function startFleetProcess(config: object): Promise<FleetProcess> {
  const child = fork(join(import.meta.dirname, 'fleet-child.ts'), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  child.send(config);
  await once(child, 'message');
  return {
    async stop() {
      child.send('stop');
      const [memory] = (await once(child, 'message')) as [Memory];
      await once(child, 'exit');
      return (memory.peakBytes - memory.baselineBytes) / 2 ** 20;
    },
  };
}
