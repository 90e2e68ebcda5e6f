/**
 * Tells a pooler in session mode, which serves us, from one that deals out server sessions by transaction or by statement, which
 * does not: a lane's lock and LISTEN belong to a session. Leaves no trace in any server session: it only begins
 * transactions and asks for the session's number.
 *
 * In session mode the first client always is where it was, and a second one never is there. Otherwise, in a round,
 *
 * - the second client gets the session that the first one gave back last (pools that hand out the latest first),
 * - or the first one moves on (pools that take turns, and all pools while the second is in a transaction).
 *
 * An application may take a session in between, so there are several rounds. A pool that wins all of them is found out by
 * the first transaction of ours that begins elsewhere, and none of ours leaves anything behind (`Connection`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { BucardoError } from '../errors/bucardo-error.ts';

const ROUNDS = 3;

/** A pool of one session never answers the second client, if it is in session mode. */
const SECOND_ANSWERS_WITHIN_MS = 300;

interface First {
  readonly client: Client;
  /** Its first server session. */
  readonly pid: number;
}

/** @throws BUC-LANE-POOLED (without the database's name), or what the driver reports */
export async function expectSessionMode(first: First, second: Client): Promise<void> {
  const refused = Promise.withResolvers<never>();
  refused.promise.catch(() => {});
  const fail = (error: unknown): void =>
    refused.reject(
      isRefusedTransaction(error) ? new BucardoError('BUC-LANE-POOLED', { cause: error }) : error,
    );
  await Promise.race([refused.promise, playRounds(first, second, fail)]);
}

/** @param fail whatever goes wrong with the second client, whenever it does */
async function playRounds(first: First, second: Client, fail: (error: unknown) => void): Promise<void> {
  const other = new Asker(second, (pid) => pid !== first.pid, fail);
  const same = new Asker(first.client, (pid) => pid === first.pid, fail);
  for (let round = 0; round < ROUNDS; round += 1) {
    other.begin();
    await Promise.race([other.answered, sleep(SECOND_ANSWERS_WITHIN_MS, undefined, { ref: false })]);
    await same.ask();
    // In this order: what the first client gives back is the latest.
    await other.rollBack();
    // Twice: two sessions that take turns would otherwise be where they were in each round.
    await same.ask();
    await same.ask();
  }
}

class Asker {
  answered: Promise<void> = Promise.resolve();
  readonly #client: Client;
  readonly #expected: (pid: number) => boolean;
  readonly #fail: (error: unknown) => void;
  #state: 'idle' | 'waiting' | 'in a transaction' = 'idle';

  constructor(client: Client, expected: (pid: number) => boolean, fail: (error: unknown) => void) {
    this.#client = client;
    this.#expected = expected;
    this.#fail = fail;
  }

  /** Asks, unless an earlier question is still unanswered. */
  begin(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'waiting';
    this.answered = this.#begin();
  }

  /** Begins a transaction and ends it. */
  async ask(): Promise<void> {
    this.begin();
    await this.answered;
    await this.rollBack();
  }

  /** Ends the transaction if there is one. */
  async rollBack(): Promise<void> {
    if (this.#state !== 'in a transaction') return;
    this.#state = 'idle';
    await this.#client.query('rollback').catch(this.#fail);
  }

  async #begin(): Promise<void> {
    try {
      await this.#client.query('begin');
      const { rows } = await this.#client.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid');
      this.#state = 'in a transaction';
      const [row] = rows;
      if (row === undefined || !this.#expected(row.pid)) this.#fail(new BucardoError('BUC-LANE-POOLED'));
    } catch (error) {
      this.#fail(error);
    }
  }
}

/** PgBouncer in statement mode: a protocol violation. */
export function isRefusedTransaction(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === '08P01';
}
