/** One change of a source's queue tables at a time, whoever asks for it: an advisory lock of the session. */
import type { Connection } from '../postgres/connection.ts';

/** 'bucardo' in ASCII, read as one number. */
const LOCK = '27713617414743151';

/** Waits for whoever else is at it, then runs `body` alone. The lock goes with the session if the process dies. */
export async function withCaptureLock<Result>(db: Connection, body: () => Promise<Result>): Promise<Result> {
  await db.run(`select pg_advisory_lock(${LOCK})`);
  try {
    return await body();
  } finally {
    // A broken connection has no lock to give back.
    await db.run(`select pg_advisory_unlock(${LOCK})`).catch(() => {});
  }
}

/** As `withCaptureLock`, but gives up at once; undefined if somebody else is at it. */
export async function tryCaptureLock<Result>(
  db: Connection,
  body: () => Promise<Result>,
): Promise<Result | undefined> {
  const { locked } = await db.row<{ locked: boolean }>(`select pg_try_advisory_lock(${LOCK}) as locked`);
  if (!locked) return undefined;
  try {
    return await body();
  } finally {
    await db.run(`select pg_advisory_unlock(${LOCK})`).catch(() => {});
  }
}
