/**
 * What the configuration wants captured on one source: its selectors resolved against the tables that are there. Pure. Every
 * problem is found, not only the first; a table with a problem is left out.
 */
import { isLiteral, matchRelations } from '../config/relations.ts';
import type { Sync } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import { type Table, type UniqueIndex, unfitText } from '../postgres/catalog.ts';
import { displayRelation, type RelationName } from '../postgres/identifiers.ts';
import type { CaptureLevel } from './capture-sql.ts';
import { bySchemaAndTable } from './delta-name.ts';
import type { Installed, TableFacts } from './installed.ts';
import { type CapturedColumn, capturedColumns } from './key-column.ts';

export interface WantedRelation extends RelationName {
  readonly oid: number;
  readonly key: readonly CapturedColumn[];
  readonly capture: CaptureLevel;
  readonly always: boolean;
  readonly partitions: readonly RelationName[];
  /** Names of the syncs that have it. */
  readonly syncs: readonly string[];
  readonly estimatedRows: number;
}

export interface Selected extends RelationName {
  /** Names of syncs. */
  readonly syncs: readonly string[];
  readonly capture: 'auto' | 'row';
}

/**
 * The relations that the syncs name, each once, by schema and table. A name without `*` is wanted whether or not it exists,
 * so that a missing table is a problem and not silence; it may be a partition, which patterns leave out.
 *
 * @param existing what patterns may match
 */
export function selectRelations(
  syncs: readonly Sync[],
  existing: readonly RelationName[],
): readonly Selected[] {
  const selected = new Map<string, Selected>();
  for (const sync of syncs) {
    const candidates = [...existing, ...sync.include.filter(isLiteral)];
    for (const { schema, table, capture } of matchRelations(sync, candidates).relations) {
      const name = displayRelation({ schema, table });
      const known = selected.get(name);
      selected.set(name, {
        schema,
        table,
        syncs: [...(known?.syncs ?? []), sync.name],
        capture: known?.capture === 'row' ? 'row' : capture,
      });
    }
  }
  return [...selected.values()].sort(bySchemaAndTable);
}

export interface Resolved {
  readonly relations: readonly WantedRelation[];
  readonly problems: readonly BucardoError[];
}

/**
 * @param tables descriptions by `displayRelation`
 * @param facts by `displayRelation`
 */
export function resolveRelations(
  selected: readonly Selected[],
  tables: ReadonlyMap<string, Table>,
  facts: ReadonlyMap<string, TableFacts>,
  installed: Installed,
  database: string,
): Resolved {
  const captured = new Map(installed.relations.map((relation) => [displayRelation(relation), relation]));
  const relations: WantedRelation[] = [];
  const problems: BucardoError[] = [];
  for (const wanted of selected) {
    const relation = displayRelation(wanted);
    const concern = { database, relation, sync: wanted.syncs.join(', ') };
    const table = tables.get(relation);
    const known = facts.get(relation);
    if (table === undefined || known === undefined) {
      problems.push(new BucardoError('BUC-TABLE-MISSING', concern));
      continue;
    }
    const missing = [
      known.mayUseSchema ? [] : ['USAGE on its schema'],
      known.mayRead ? [] : ['SELECT'],
      known.mayTrigger ? [] : ['TRIGGER'],
    ].flat();
    if (missing.length > 0) {
      problems.push(new BucardoError('BUC-DB-RIGHTS', { ...concern, detail: missing.join(' and ') }));
      continue;
    }
    const key = chooseKey(table, captured.get(relation)?.keyColumns);
    if (key instanceof BucardoError) {
      problems.push(key.with(concern));
      continue;
    }
    relations.push({
      schema: wanted.schema,
      table: wanted.table,
      oid: table.oid,
      key: capturedColumns(
        key.columns.map(({ name }) => name),
        table.columns,
      ),
      capture: captureLevel(table, known, wanted.capture),
      always: known.subscribed,
      partitions: table.partitioned ? known.partitions : [],
      syncs: wanted.syncs,
      estimatedRows: known.estimatedRows,
    });
  }
  return { relations, problems };
}

/** The captured key as long as the table has it; else the best. */
function chooseKey(table: Table, captured: readonly string[] | undefined): UniqueIndex | BucardoError {
  if (captured !== undefined) {
    const same = table.keys.find(
      ({ columns }) =>
        columns.length === captured.length && columns.every(({ name }, i) => name === captured[i]),
    );
    return (
      same ??
      new BucardoError('BUC-KEY-CHANGED', {
        detail: `captured by (${captured.join(', ')}), which is no key of the table now`,
      })
    );
  }
  return table.keys[0] ?? new BucardoError('BUC-TABLE-NO-KEY', { detail: unfitText(table.unfitKeys) });
}

/**
 * Statement triggers fire for the table that a statement names. Rows of partitions and of inheritance children are also
 * written through their parents, and a subscription writes without statements, so these need row triggers.
 */
function captureLevel(table: Table, { subscribed }: TableFacts, wanted: 'auto' | 'row'): CaptureLevel {
  const row =
    wanted === 'row' ||
    table.partitioned ||
    table.isPartition ||
    table.inherits ||
    table.subscribed ||
    subscribed;
  return row ? 'row' : 'statement';
}
