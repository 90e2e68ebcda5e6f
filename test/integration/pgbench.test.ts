/**
 * pgbench's own tables and its TPC-B workload, eight clients, through the whole local fleet to two targets, one of which
 * crashes and comes back meanwhile. `pgbench_history` has no key of its own and gets one here.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, test } from 'vitest';
import { startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { sourceSync } from '../support/captured-source.ts';
import { debianPostgres, skipWithoutDebianPostgres } from '../support/debian-postgres.ts';
import { LiveFleet } from '../support/live-fleet.ts';
import { waitFor } from '../support/wait-for.ts';

const isCi = process.env['CI'] === 'true';
const SECONDS = Number(process.env['BUCARDO_PGBENCH_SECONDS'] ?? (isCi ? 30 : 8));
const SCALE = 5;
const TABLES = ['pgbench_accounts', 'pgbench_branches', 'pgbench_tellers', 'pgbench_history'];

const run = promisify(execFile);

async function pgbench(url: string, ...options: string[]): Promise<string> {
  const { port } = new URL(url);
  const { stdout } = await run(join(debianPostgres().bin, 'pgbench'), [
    ...options,
    '-h',
    '127.0.0.1',
    '-p',
    port,
    '-U',
    'postgres',
    'postgres',
  ]);
  return stdout;
}

test.skipIf(skipWithoutDebianPostgres('the load of pgbench'))(
  `pgbench's workload arrives at two targets, one of which crashes meanwhile (${SECONDS} s)`,
  async () => {
    const major = inject('serverMajor');
    await using source = await startPostgres({ major });
    await using steady = await startPostgres({ major });
    await using crashing = await startPostgres({ major, settings: { synchronous_commit: 'on' } });
    const urls = new Map([
      ['east', source.url()],
      ['steady', steady.url()],
      ['crashing', crashing.url()],
    ]);
    await pgbench(source.url(), '-i', '-q', '-s', String(SCALE));
    for (const url of [steady.url(), crashing.url()])
      await pgbench(url, '-i', '-q', '-s', String(SCALE), '-I', 'dtp');
    for (const url of urls.values()) {
      await withConnection({ database: 'test', url, purpose: 'test setup' }, (db) =>
        db.script('alter table public.pgbench_history add column id bigserial primary key'),
      );
    }
    const live = new LiveFleet({
      sync: sourceSync({ targets: ['steady', 'crashing'] }),
      urlOf: (name) => urls.get(name) ?? '',
      // A lane whose target is down gives its kick back with growing delay; the notifier's next kick waits behind it.
      sweepIntervalMs: 5_000,
    });
    await live.apply();
    await live.start();
    await live.settle(60);

    const working = pgbench(source.url(), '-n', '-c', '8', '-j', '2', '-T', String(SECONDS));
    const arrived = async (): Promise<boolean> =>
      await live.in(
        'crashing',
        async (db) => (await db.rows('select from public.pgbench_history limit 1')).length === 1,
      );
    await waitFor(arrived, 60_000, 'the first transactions at the target');
    await crashing.stop('immediate');
    const steadyHas = async (): Promise<number> => {
      const { rows } = await live.in('steady', (db) =>
        db.row<{ rows: number }>('select count(*)::int as rows from public.pgbench_history'),
      );
      return rows;
    };
    const before = await steadyHas();
    await waitFor(async () => (await steadyHas()) > before, 20_000, 'the other target to go on');
    await crashing.start();
    const report = await working;
    const transactions = Number(/number of transactions actually processed: (\d+)/.exec(report)?.[1]);
    expect(transactions).toBeGreaterThan(100);
    await live.settle(120);
    await live.expectEqual(TABLES);
    await live.inSource(async (db) => {
      const history = await db.row<{ rows: number }>(
        'select count(*)::int as rows from public.pgbench_history',
      );
      expect(history.rows).toBe(transactions);
      expect(await db.rows('select from bucardo.rejected_row')).toEqual([]);
    });
    await live.stop();
  },
  120_000 + SECONDS * 2_000,
);
