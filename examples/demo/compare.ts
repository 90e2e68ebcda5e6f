/**
 * Whether databases hold the same rows: every row of every table, in SQL, on each server. Rows are compared by their text
 * form, which the sessions' settings make exact and the same everywhere.
 */
import { listTables } from '../../shared/postgres/catalog.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { displayRelation, quoteRelation, type RelationName } from '../../shared/postgres/identifiers.ts';

export interface TableVerdict {
  readonly table: string;
  readonly rowsAtSource: number;
  /** By target. */
  readonly targets: readonly { readonly name: string; readonly equal: boolean; readonly rows: number }[];
}

interface Contents {
  readonly rows: number;
  readonly checksum: string;
}

/** One verdict per table that the source has. A table that a target lacks is an error. */
export async function compareDatabases(
  source: Connection,
  targets: readonly Connection[],
): Promise<readonly TableVerdict[]> {
  const verdicts: TableVerdict[] = [];
  for (const relation of await listTables(source)) {
    const [expected, ...found] = await Promise.all(
      [source, ...targets].map((db) => readContents(db, relation)),
    );
    verdicts.push({
      table: displayRelation(relation),
      rowsAtSource: expected?.rows ?? 0,
      targets: targets.map(({ database }, index) => ({
        name: database,
        rows: found[index]?.rows ?? 0,
        equal: expected !== undefined && found[index]?.checksum === expected.checksum,
      })),
    });
  }
  return verdicts;
}

export function allEqual(verdicts: readonly TableVerdict[]): boolean {
  return verdicts.length > 0 && verdicts.every(({ targets }) => targets.every(({ equal }) => equal));
}

/**
 * How many rows the table has, and a checksum of all of them: equal exactly if the sorted lists of the rows' hashes are, so
 * rows that are there twice count twice. Byte order sorts the same on every server.
 */
async function readContents(db: Connection, relation: RelationName): Promise<Contents> {
  const { rows, checksum } = await db.row<{ rows: string; checksum: string }>(
    `select count(*) as rows, md5(coalesce(string_agg(hash, ',' order by hash collate "C"), '')) as checksum
     from (select md5(t::text) as hash from ${quoteRelation(relation)} t) hashes`,
  );
  return { rows: Number(rows), checksum };
}
