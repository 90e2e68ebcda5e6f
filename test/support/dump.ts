/** What pg_dump and pg_restore do with the data of a captured source, without their programs. */
import { Readable } from 'node:stream';
import type { Connection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier, quoteRelation, type RelationName } from '../../shared/postgres/identifiers.ts';

/** Ours and the application's tables, sequences with them. */
const DUMPED = `
  select n.nspname as schema, c.relname as table, c.relkind = 'S' as sequence
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'bucardo') and c.relkind in ('r', 'S')`;

export interface Dump {
  readonly tables: readonly (RelationName & { readonly bytes: Buffer })[];
  readonly sequences: readonly (RelationName & { readonly value: string; readonly called: boolean })[];
}

/** All data in one snapshot, as pg_dump has it. */
export async function dump(db: Connection): Promise<Dump> {
  return await db.transaction('repeatable read read only', async () => {
    const tables: Dump['tables'][number][] = [];
    const sequences: Dump['sequences'][number][] = [];
    for (const relation of await db.rows<RelationName & { sequence: boolean }>(DUMPED)) {
      if (relation.sequence) {
        sequences.push({
          ...relation,
          ...(await db.row<{ value: string; called: boolean }>(
            `select last_value::text as value, is_called as called from ${quoteRelation(relation)}`,
          )),
        });
        continue;
      }
      const chunks: Buffer[] = [];
      for await (const chunk of db.copyOut(`copy ${quoteRelation(relation)} to stdout`))
        chunks.push(chunk as Buffer);
      tables.push({ ...relation, bytes: Buffer.concat(chunks) });
    }
    return { tables, sequences };
  });
}

/** Into a database that has the same objects, capture included. */
export async function restore(db: Connection, { tables, sequences }: Dump): Promise<void> {
  await db.script('set session_replication_role = replica');
  for (const table of tables) await db.script(`delete from ${quoteRelation(table)}`);
  for (const table of tables)
    await db.copyIn(`copy ${quoteRelation(table)} from stdin`, Readable.from([table.bytes]));
  for (const { schema, table, value, called } of sequences) {
    await db.run(`select setval($1::regclass, $2::bigint, $3)`, [
      `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`,
      value,
      called,
    ]);
  }
}
