/** A part of a fleet as a process of its own that is killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface PartOptions {
  readonly name: string;
  /** Path of the module; it says `ready` on standard output. */
  readonly program: string;
  readonly args?: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Each line of standard error. */
  readonly onLine: (line: string) => void;
}

export class Part {
  readonly name: string;
  readonly #options: PartOptions;
  #child: ChildProcess | undefined;

  constructor(options: PartOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Resolves when it is ready, or has ended: what it needs may be away, and then it is started again some time. */
  async start(): Promise<void> {
    const { program, args = [], cwd, environment, onLine } = this.#options;
    const child = spawn(process.execPath, [program, ...args], {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    createInterface(child.stderr).on('line', onLine);
    await new Promise((resolve) => child.stdout.once('data', resolve).once('close', resolve));
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Without any warning. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.running) return;
    const gone = new Promise((resolve) => this.#child?.once('exit', resolve));
    this.#child?.kill('SIGKILL');
    await gone;
  }
}
