/** Starts processes that run a lane (run-lane-process.ts), so that tests can kill them with SIGKILL at an exact place. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import type { LaneProcessInput } from './run-lane-process.ts';

const PROGRAM = join(import.meta.dirname, 'run-lane-process.ts');

/** How a process ended. */
export interface LaneProcessEnd {
  readonly killed: boolean;
  readonly exitCode: number | null;
  readonly output: string;
}

export class LaneProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ready: Promise<unknown>;
  readonly #ended: Promise<LaneProcessEnd>;

  /** Loads in the background; nothing is connected before `go`. */
  constructor(input: LaneProcessInput) {
    this.#child = spawn(process.execPath, [PROGRAM, JSON.stringify(input)], { stdio: 'pipe' });
    let output = '';
    this.#child.stdout.on('data', (chunk) => (output += String(chunk)));
    this.#child.stderr.on('data', (chunk) => (output += String(chunk)));
    this.#child.stdin.on('error', () => {});
    this.#ready = once(this.#child.stdout, 'data');
    this.#ended = once(this.#child, 'close').then(([exitCode, signal]: unknown[]) => ({
      killed: signal === 'SIGKILL',
      exitCode: typeof exitCode === 'number' ? exitCode : null,
      output,
    }));
  }

  async go(): Promise<void> {
    await this.#ready;
    this.#child.stdin.write('go\n');
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  /** Resolves when the process is gone and its sockets are closed. */
  async kill(): Promise<LaneProcessEnd> {
    this.#child.kill('SIGKILL');
    return await this.#ended;
  }

  async ended(): Promise<LaneProcessEnd> {
    return await this.#ended;
  }
}
