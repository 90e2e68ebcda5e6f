/** The latency of one row where the server allows two-phase commit: nobody notifies, and the notifier looks at short intervals. */
import type { Bench } from './bench.ts';
import { measureLatency } from './latency.ts';

export const bench: Bench = {
  title: 'as latency, where max_prepared_transactions is above 0 and so nobody notifies',
  run: (report) =>
    measureLatency(report, { max_prepared_transactions: '10' }, { p50: [120, 90], p95: [240, 180] }),
};
