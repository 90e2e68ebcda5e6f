/**
 * Keeps messages hidden while their lane runs, a minute at a time. A run that is killed, with its process or its
 * machine, sends no more signs of life, and its kick comes back within that minute instead of after the queue's whole
 * visibility timeout. Losing the race is harmless: the lane's lock at the destination lets only one run work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KickQueue } from '../../shared/queue/kick-queue.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';

export interface HeartbeatOptions {
  readonly queue: Pick<KickQueue, 'hideMessage'>;
  readonly receiptHandles: readonly string[];
  readonly visibilitySeconds: number;
  readonly intervalSeconds: number;
  readonly log: Log;
}

export interface Heartbeat {
  /** Resolves when no renewal is under way, so that none can undo what the caller does with the messages next. */
  stop(): Promise<void>;
}

/** The first sign of life is sent at once; it replaces the queue's long visibility timeout. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { queue, receiptHandles, visibilitySeconds, intervalSeconds, log } = options;
  const stopping = new AbortController();

  async function beat(): Promise<void> {
    while (!stopping.signal.aborted) {
      await Promise.all(receiptHandles.map(renew));
      await sleep(intervalSeconds * 1000, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  }

  async function renew(receiptHandle: string): Promise<void> {
    try {
      const held = await queue.hideMessage(receiptHandle, visibilitySeconds, { signal: stopping.signal });
      if (!held) log('warn', 'lane.kick.lost', { message: 'the kick may be received a second time' });
    } catch (error) {
      if (!stopping.signal.aborted) log('warn', 'lane.heartbeat.failed', errorFields(error));
    }
  }

  const beating = beat();
  return {
    async stop() {
      stopping.abort();
      await beating;
    },
  };
}
