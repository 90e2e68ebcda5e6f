/**
 * The process that a benchmark measures: a whole local fleet and nothing else. The parent gives the fleet's databases by
 * IPC, asks it to stop, and gets the memory that it took.
 */
const baselineBytes = process.memoryUsage().rss;
const { startLocalFleet } = await import('../../cli/local-fleet.ts');
const { validateConfig } = await import('../../shared/config/validate-config.ts');
const { resolveUrl } = await import('../../shared/config/secrets.ts');
const { jsonLog } = await import('../../shared/telemetry/log.ts');

const SAMPLE_EVERY_MS = 50;

/** A sweep would be a second way for changes to travel. */
const NEVER_MS = 2 ** 31 - 1;

process.once('message', (config) => {
  void run(config);
});
process.send?.('listening');

async function run(config: unknown): Promise<void> {
  let peakBytes = 0;
  const sampler = setInterval(
    () => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)),
    SAMPLE_EVERY_MS,
  );
  const fleet = await startLocalFleet({
    fleet: validateConfig(config, 'benchmark'),
    resolveUrl,
    log: jsonLog((line) => process.stderr.write(line), 'warn'),
    sweepIntervalMs: NEVER_MS,
  });
  await fleet.notifier.ready;
  process.once('message', () => {
    void (async () => {
      clearInterval(sampler);
      await fleet.stop();
      process.send?.({ baselineBytes, peakBytes }, () => process.disconnect());
    })();
  });
  process.send?.('ready');
}
