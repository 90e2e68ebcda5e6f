/** Processes that a file remembers: a pid alone may have become another program's, a pid with the time of its start may not. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface KnownProcess {
  readonly pid: number;
  /** As the system tells it: only ever compared. */
  readonly started: string;
}

const LOOK_EVERY_MS = 50;

/** @throws if there is no such process */
export function knowProcess(pid: number): KnownProcess {
  const started = startOf(pid);
  if (started === undefined) throw new Error(`process ${pid} has ended`);
  return { pid, started };
}

/** Whether it still runs. */
export function runs({ pid, started }: KnownProcess): boolean {
  return startOf(pid) === started;
}

/** Sends the signal, and SIGKILL if it has not ended in time. Resolves when it is gone; does nothing if it was before. */
export async function endProcess(
  known: KnownProcess,
  signal: NodeJS.Signals,
  withinMs: number,
): Promise<void> {
  const killAtMs = Date.now() + withinMs;
  send(known, signal);
  while (runs(known)) {
    if (Date.now() > killAtMs) send(known, 'SIGKILL');
    await sleep(LOOK_EVERY_MS);
  }
}

function send(known: KnownProcess, signal: NodeJS.Signals): void {
  try {
    if (runs(known)) process.kill(known.pid, signal);
  } catch (error) {
    // It ended in between. Anything else is for the person to know.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Undefined if there is no such process, or only its exit status is left. */
function startOf(pid: number): string | undefined {
  return process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid);
}

function startOnLinux(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // Behind the program's name, which may hold anything: field 3 is the state, field 22 the start in ticks (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

function startByPs(pid: number): string | undefined {
  try {
    const answer = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' });
    const [state = '', ...started] = answer.trim().split(/\s+/);
    return state.startsWith('Z') ? undefined : started.join(' ');
  } catch {
    return undefined;
  }
}
