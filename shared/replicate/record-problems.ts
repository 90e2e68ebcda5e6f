/** Records that a lane's tables need a copy because other tables have their names now. */
import type { TableProblem } from '../capture/table-identity.ts';
import type { Lane } from '../config/types.ts';
import type { Connection } from '../postgres/connection.ts';

/** $1 sync, $2 destination, then pairwise $3 schema names, $4 table names. What is recorded already stays. */
const NEED_COPY = `
  insert into bucardo.copy_needed (sync, destination, schema_name, table_name, reason)
  select $1, $2, w.schema_name, w.table_name, 'replaced'
  from unnest($3::text[], $4::text[]) as w(schema_name, table_name)
  on conflict do nothing`;

export async function recordProblems(
  source: Connection,
  { sync, destination }: Lane,
  problems: readonly TableProblem[],
): Promise<void> {
  const needed = problems.filter(({ kind }) => kind === 'replaced');
  if (needed.length === 0) return;
  await source.run(NEED_COPY, [
    sync,
    destination,
    needed.map(({ schema }) => schema),
    needed.map(({ table }) => table),
  ]);
}
