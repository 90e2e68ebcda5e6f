/** One invocation of the replicate function for one lane, as a process of its own: the parent kills it when its time is over. */
import { lanesOf } from '../../shared/config/lanes.ts';
import { resolveUrl } from '../../shared/config/secrets.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';
import { planDeadlineMs } from '../../lambdas/replicate/plan-deadline.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { jsonLog } from '../../shared/telemetry/log.ts';

export interface FunctionInput {
  readonly config: object;
  readonly seconds: number;
}

export interface FunctionReport {
  /** Whether the lane asks to be run again; undefined while it runs. */
  readonly more?: boolean;
  readonly peakBytes: number;
}

const SAMPLE_EVERY_MS = 100;

process.once('message', (input: FunctionInput) => {
  void run(input);
});

async function run({ config, seconds }: FunctionInput): Promise<void> {
  const fleet = validateConfig(config, 'benchmark');
  const [lane] = lanesOf(fleet);
  if (lane === undefined) throw new Error('no lane');
  let peakBytes = 0;
  const report = (more?: boolean): void => {
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
    process.send?.({ peakBytes, ...(more === undefined ? {} : { more }) } satisfies FunctionReport);
  };
  const sampler = setInterval(() => report(), SAMPLE_EVERY_MS);
  const { more } = await runLane(lane, {
    fleet,
    resolveUrl,
    log: jsonLog((line) => process.stderr.write(line), 'warn'),
    deadlineMs: planDeadlineMs(Date.now(), seconds * 1000),
    connections: new ConnectionCache(),
  });
  clearInterval(sampler);
  report(more);
  process.exit(0);
}
