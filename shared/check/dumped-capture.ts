/**
 * Capture at a target that nobody reads. A dump of a captured source, its schema alone too, brings schema bucardo and the triggers
 * on the tables. Lanes are safe there: their transactions set `bucardo.applying`, which the trigger functions honour in every
 * role. What the target's own applications write is captured for nobody. The lanes' own table, `bucardo.lane`, has to stay.
 */
import { captureVersion } from '../capture/capture-version.ts';
import { CONTROL_FUNCTIONS, CONTROL_SEQUENCES, CONTROL_TABLES } from '../capture/control-schema.ts';
import { AT_HOME } from '../capture/source-identity.ts';
import type { Connection } from '../postgres/connection.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { type Finding, note } from './finding.ts';

export interface DumpedCapture {
  /** Trigger functions that are ours, by their names in schema bucardo. */
  readonly functions: readonly string[];
  readonly deltaTables: readonly string[];
  /** Those of the control schema that are there. */
  readonly tables: readonly string[];
  readonly controlFunctions: readonly string[];
  readonly sequences: readonly string[];
  /** `here`: installed in this very database, for somebody. `elsewhere`: no registry, or that of another database. */
  readonly belongs: 'here' | 'elsewhere' | 'unknown';
}

interface InstalledRow {
  readonly functions: readonly { readonly name: string; readonly source: string }[];
  readonly deltaTables: readonly string[];
  readonly tables: readonly string[];
  readonly controlFunctions: readonly string[];
  readonly sequences: readonly string[];
  readonly mayReadOrigin: boolean;
}

/**
 * $1 control tables, $2 control functions' names, $3 sequences. One row, from the catalogs alone, which need
 * no right on the schema. Delta tables are known by the default of `txntime`, which Bucardo 5's do not have. Takes no locks.
 */
const READ_CAPTURE = `
  select
    coalesce((
      select json_agg(json_build_object('name', p.proname, 'source', p.prosrc) order by p.proname)
      from pg_proc p
      where p.pronamespace = n.oid and p.proname like 'capture\\_%' and p.pronargs = 0
        and p.prorettype = 'trigger'::regtype
    ), '[]') as functions,
    array(
      select c.relname::text from pg_class c
      where c.relnamespace = n.oid and c.relkind = 'r' and exists (
        select from pg_attrdef a
        join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid and d.refclassid = 'pg_proc'::regclass
        join pg_proc p on p.oid = d.refobjid
        where a.adrelid = c.oid and p.pronamespace = n.oid and p.proname = 'tick')
      order by 1
    ) as "deltaTables",
    array(
      select c.relname::text from pg_class c
      where c.relnamespace = n.oid and c.relkind = 'r' and c.relname = any($1) order by 1
    ) as tables,
    array(
      select format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) from pg_proc p
      where p.pronamespace = n.oid and p.proname = any($2) order by 1
    ) as "controlFunctions",
    array(
      select c.relname::text from pg_class c
      where c.relnamespace = n.oid and c.relkind = 'S' and c.relname = any($3) order by 1
    ) as sequences,
    has_schema_privilege(n.oid, 'usage') and has_function_privilege('pg_control_system()', 'execute') and exists (
      select from pg_class c
      where c.relnamespace = n.oid and c.relname = 'origin' and has_table_privilege(c.oid, 'select')
    ) as "mayReadOrigin"
  from pg_namespace n where n.nspname = 'bucardo'`;

/** Undefined if nothing is captured in the database. */
export async function readDumpedCapture(db: Connection): Promise<DumpedCapture | undefined> {
  const [row] = await db.rows<InstalledRow>(READ_CAPTURE, [
    CONTROL_TABLES,
    CONTROL_FUNCTIONS,
    CONTROL_SEQUENCES,
  ]);
  if (row === undefined) return undefined;
  const { deltaTables, tables, controlFunctions, sequences } = row;
  const functions = row.functions
    .filter(({ source }) => captureVersion(source) !== undefined)
    .map(({ name }) => name);
  if (functions.length + deltaTables.length === 0 && !tables.includes('origin')) return undefined;
  return { functions, deltaTables, tables, controlFunctions, sequences, belongs: await whose(db, row) };
}

async function whose(
  db: Connection,
  { tables, mayReadOrigin }: InstalledRow,
): Promise<DumpedCapture['belongs']> {
  if (!tables.includes('origin')) return 'elsewhere';
  if (!mayReadOrigin) return 'unknown';
  const { here } = await db.row<{ here: boolean }>(
    `select ${AT_HOME} and exists (select from bucardo.origin) as here`,
  );
  return here ? 'here' : 'elsewhere';
}

/** For a target from which no sync of the configuration reads. */
export function findDumpedCapture(database: string, capture: DumpedCapture): Finding {
  const { belongs } = capture;
  if (belongs === 'here') {
    return note(
      'info',
      'dumped-capture',
      { database },
      'changes of applications are captured here for another configuration, or for a sync that is gone',
      'If no sync reads from this database any more, run `bucardo uninstall` with the configuration that did.',
    );
  }
  const unless =
    belongs === 'unknown' ? 'Unless another configuration replicates from this database, run' : 'Run';
  return note(
    'warning',
    'dumped-capture',
    { database },
    'schema bucardo holds the capture of another database, as a dump of a source brings it: replicated rows are not captured, but all that applications write here fills delta tables that nobody reads or purges',
    `${unless} as the owner: ${removalStatements(capture).join('; ')};`,
  );
}

/**
 * Safe when one of them fails and the client goes on, as psql does. Dropping a function takes its triggers along, table by table, and
 * waits for each table only briefly. The rest is what triggers write to, so it goes in one transaction that begins by dropping the
 * functions without `cascade`: as long as a trigger is left that fails, and the transaction with it. Touches nothing that is not ours.
 */
function removalStatements(capture: DumpedCapture): readonly string[] {
  const { functions, deltaTables, tables, controlFunctions, sequences } = capture;
  const ours = (name: string) => `bucardo.${quoteIdentifier(name)}`;
  const called = functions.map((name) => `${ours(name)}()`);
  const dropping = (kind: string, names: readonly string[]) =>
    names.length === 0 ? [] : [`drop ${kind} ${names.join(', ')}`];
  return [
    `set lock_timeout = '2s'`,
    ...called.map((name) => `drop function ${name} cascade`),
    'begin',
    ...dropping('function if exists', called),
    // Foreign keys lie among these tables. The guards go with the delta tables.
    ...dropping('table', [...deltaTables, ...tables].map(ours)),
    ...dropping(
      'function',
      controlFunctions.map((name) => `bucardo.${name}`),
    ),
    ...dropping('sequence', sequences.map(ours)),
    'commit',
  ];
}
