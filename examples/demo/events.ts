/** The fleet's events: kept in a file or shown, counted, and heard by whoever follows a change. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonLog, type Log, type LogFields } from '../../shared/telemetry/log.ts';

export interface EventCounts {
  /** Messages that the notifier put into the queue. */
  readonly kicks: number;
  /** Runs that the replicate handler finished, and those that failed. */
  readonly runs: number;
  readonly failedRuns: number;
}

type Listener = (event: string, fields: LogFields) => void;

export interface FleetEvents {
  readonly log: Log;
  counts(): EventCounts;
  /** Calls back for every event from now on. Returns how to end that. */
  listen(listener: Listener): () => void;
  /** Where the events are, unless they go to standard error. */
  readonly file: string | undefined;
  /** @param keep whether the file stays */
  close(keep: boolean): void;
}

export function openEvents(verbose: boolean): FleetEvents {
  const folder = verbose ? undefined : mkdtempSync(join(tmpdir(), 'bucardo-demo-'));
  const file = folder === undefined ? undefined : join(folder, 'events.jsonl');
  const handle = file === undefined ? undefined : openSync(file, 'wx');
  let open = true;
  const write = (line: string): void => {
    if (handle === undefined) process.stderr.write(line);
    else if (open) writeSync(handle, line);
  };
  const record = jsonLog(write, verbose ? 'info' : 'debug');
  const listeners = new Set<Listener>();
  let kicks = 0;
  let runs = 0;
  let failedRuns = 0;
  return {
    file,
    log(level, event, fields = {}) {
      record(level, event, fields);
      if (event === 'notifier.kicks.sent') kicks += Number(fields['kicks'] ?? 0);
      if (event === 'lane.run.completed') runs += 1;
      if (event === 'lane.run.failed') failedRuns += 1;
      for (const listener of listeners) listener(event, fields);
    },
    counts: () => ({ kicks, runs, failedRuns }),
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close(keep) {
      if (!open) return;
      open = false;
      if (handle !== undefined) closeSync(handle);
      if (folder !== undefined && !keep) rmSync(folder, { recursive: true, force: true });
    },
  };
}
