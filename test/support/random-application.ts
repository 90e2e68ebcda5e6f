/** An application that writes at a source while everything goes wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Connection, connect } from '../../shared/postgres/connection.ts';

/** Goes on after errors, connects again when its server was away. Returns how many statements worked. */
export async function application(
  url: string,
  statements: Iterable<string>,
  onStatement: () => Promise<void>,
): Promise<number> {
  let session: Connection | undefined;
  let open = false;
  let done = 0;
  for (const statement of statements) {
    await onStatement();
    if (statement.startsWith('begin')) open = true;
    try {
      session ??= await begin(url);
      await session.script(statement);
      done += 1;
    } catch (error) {
      const { code, sqlstate } = asBucardoError(error);
      if (code === 'BUC-DB-UNREACHABLE') {
        await session?.abort();
        session = undefined;
        while (session === undefined) {
          session = await begin(url).catch(() => undefined);
          if (session === undefined) await sleep(50);
        }
      } else if (sqlstate === undefined) throw error;
    }
    if (statement === 'commit' || statement === 'rollback') open = false;
  }
  if (open) await session?.script('rollback');
  await session?.close();
  return done;
}

async function begin(url: string): Promise<Connection> {
  const session = await connect({ database: 'test', url, purpose: 'test application' });
  await session.script('set search_path to public');
  return session;
}
