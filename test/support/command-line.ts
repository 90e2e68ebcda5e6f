/** The `bucardo` command as a person runs it: a process of its own, in a folder of its own with a configuration. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './wait-for.ts';

const ROOT = join(import.meta.dirname, '../..');

export interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

export interface CommandLine extends AsyncDisposable {
  readonly folder: string;
  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<Outcome>;
  /** Starts a command that goes on, and waits for a line on its standard output. */
  start(line: string, ...args: readonly string[]): Promise<Running>;
}

export interface Running {
  /** Sends the signal and waits for the end. */
  stop(signal: 'SIGTERM' | 'SIGINT'): Promise<Outcome>;
}

/** @param config text of bucardo.config.ts after its import line */
export function createCommandLine(
  config: string,
  environment: Readonly<Record<string, string>>,
): CommandLine {
  const folder = mkdtempSync(join(tmpdir(), 'bucardo-command-'));
  const entry = JSON.stringify(join(ROOT, 'shared/config/index.ts'));
  writeFileSync(join(folder, 'bucardo.config.ts'), `import { defineConfig, env } from ${entry};\n${config}`);
  const running = new Set<ChildProcess>();

  const launch = (
    args: readonly string[],
  ): { child: ChildProcess; seen: { out: string; err: string }; end: Promise<Outcome> } => {
    const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], {
      cwd: folder,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const seen = { out: '', err: '' };
    child.stdout.on('data', (chunk) => (seen.out += chunk));
    child.stderr.on('data', (chunk) => (seen.err += chunk));
    const end = new Promise<Outcome>((resolve) => {
      child.once('close', (status) => {
        running.delete(child);
        resolve({ status, ...seen });
      });
    });
    return { child, seen, end };
  };

  return {
    folder,
    run: (...args) => launch(args).end,
    async start(line, ...args) {
      const { child, seen, end } = launch(args);
      await waitFor(
        () => seen.out.split('\n').includes(line) || child.exitCode !== null,
        20_000,
        `${line} from ${args.join(' ')}`,
      );
      return {
        async stop(signal) {
          child.kill(signal);
          return await end;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill('SIGKILL');
      await waitFor(() => running.size === 0);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
