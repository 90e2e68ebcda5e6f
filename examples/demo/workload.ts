/**
 * The applications that write to the shop: several sessions, each a loop of one transaction after the other with a short
 * pause. They know nothing of replication. What they count is what the source has committed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Connection, connect } from '../../shared/postgres/connection.ts';
import { type Random, seededRandom } from './random.ts';
import { ChangedMind, KINDS, type Transaction } from './transactions.ts';

export interface WorkloadCounts {
  /** Rows that the statements of committed transactions inserted, updated or deleted. */
  readonly changes: number;
  readonly committed: number;
  readonly rolledBack: number;
}

export interface Workload {
  /** So far. */
  counts(): WorkloadCounts;
  /** Rejects if an application met an error that it should not have met. */
  readonly finished: Promise<void>;
  /** Resolves when the last transaction has ended. */
  stop(): Promise<void>;
}

const APPLICATIONS = 4;

/** Between two transactions of one application: a busy small shop, and a processor left for replication. */
const PAUSE_MS = { least: 4, most: 24 };

/** 40: deadlocks and serialization failures. 23505: somebody else was faster. Applications live with these. */
const EXPECTED_SQLSTATE = /^(40|23505)/;

export async function startWorkload(url: string, seed: number): Promise<Workload> {
  const stopping = new AbortController();
  let changes = 0;
  let committed = 0;
  let rolledBack = 0;

  async function application(session: Connection, random: Random): Promise<void> {
    try {
      while (!stopping.signal.aborted) {
        const transaction = chooseKind(random);
        try {
          changes += await session.transaction('read committed', () => transaction(session, random));
          committed += 1;
        } catch (error) {
          if (!isExpected(error)) throw error;
          rolledBack += 1;
        }
        await pause(random.between(PAUSE_MS.least, PAUSE_MS.most), stopping.signal);
      }
    } finally {
      await session.close();
    }
  }

  const sessions = await Promise.all(
    Array.from({ length: APPLICATIONS }, () =>
      connect({ database: 'shop', url, purpose: 'demo application' }),
    ),
  );
  const finished = Promise.all(
    sessions.map((session, index) => application(session, seededRandom(seed * APPLICATIONS + index))),
  ).then(() => {});
  // Whoever waits hears of a failure; until then it must not count as unhandled.
  finished.catch(() => stopping.abort());
  return {
    counts: () => ({ changes, committed, rolledBack }),
    finished,
    async stop() {
      stopping.abort();
      await finished;
    },
  };
}

function chooseKind(random: Random): Transaction {
  const sum = KINDS.reduce((parts, [more]) => parts + more, 0);
  let left = random.between(1, sum);
  for (const [parts, transaction] of KINDS) {
    left -= parts;
    if (left <= 0) return transaction;
  }
  throw new RangeError('the parts do not add up');
}

function isExpected(error: unknown): boolean {
  return error instanceof ChangedMind || EXPECTED_SQLSTATE.test(asBucardoError(error).sqlstate ?? '');
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
