/** A source for tests: a database with `apply` done on it, and views of what capture has written there. */
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource, type SourcePlan } from '../../shared/capture/plan-source.ts';
import type { CopyPolicy, Database, Sync } from '../../shared/config/types.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { silentLog } from '../../shared/telemetry/log.ts';

export interface SourceOptions {
  /** `public.orders` or a pattern; default `public.*`. */
  readonly tables?: readonly string[];
  readonly exclude?: readonly string[];
  readonly targets?: readonly string[];
  readonly capture?: 'auto' | 'row';
  readonly copy?: CopyPolicy;
  readonly sync?: string;
}

export function sourceDatabase(wake: Database['wake'] = 'notify', name = 'east'): Database {
  return { name, engine: 'postgres', url: 'postgres://unused', wake };
}

export function sourceSync(options: SourceOptions = {}): Sync {
  const selector = (text: string) => {
    const [schema = '', table = ''] = text.split(/\.(.*)/s);
    return { schema, table };
  };
  return {
    name: options.sync ?? 'orders',
    source: 'east',
    targets: options.targets ?? ['reports'],
    include: (options.tables ?? ['public.*']).map((text) => ({
      ...selector(text),
      capture: options.capture ?? 'auto',
    })),
    exclude: (options.exclude ?? []).map(selector),
    schedule: undefined,
    autokick: true,
    copy: options.copy ?? 'if-empty',
    batchRows: 100_000,
  };
}

/** Plans and applies with a connection of its own; returns what was done. */
export async function applySource(
  url: string,
  syncs: readonly Sync[] = [sourceSync()],
  database: Database = sourceDatabase(),
): Promise<SourcePlan> {
  return await withSource(url, async (db) =>
    applyPlan(db, await planSource(db, { database, syncs }), { log: silentLog }),
  );
}

export async function planOf(
  url: string,
  syncs: readonly Sync[] = [sourceSync()],
  database: Database = sourceDatabase(),
): Promise<SourcePlan> {
  return await withSource(url, (db) => planSource(db, { database, syncs }));
}

export async function withSource<Result>(
  url: string,
  body: (db: Connection) => Promise<Result>,
): Promise<Result> {
  return await withConnection({ database: 'east', url, purpose: 'test' }, body);
}

/** Keys in a delta table in the order of their capture, each `a|b`, NULL as `~`; `author` is asserted to be null. */
export async function deltasOf(db: Connection, deltaName: string): Promise<readonly string[]> {
  const rows = await db.rows<{ line: string[]; author: string | null }>(
    `select array(select coalesce(value, '~') from json_each_text(to_json(d)) with ordinality j(key, value, position)
        where key not in ('txntime', 'txid', 'author') order by position) as line, author
      from bucardo."${deltaName.replaceAll('"', '""')}" d order by d.txntime, d.ctid`,
  );
  if (rows.some(({ author }) => author !== null)) throw new Error('a captured delta has an author');
  return rows.map(({ line }) => line.join('|'));
}

/** Empties a delta table, so that a test sees only what follows. */
export async function forgetDeltas(db: Connection, deltaName: string): Promise<void> {
  await db.run(`delete from bucardo."${deltaName}"`);
}
