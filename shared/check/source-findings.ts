/** From what a source has to findings: rights, what `apply` would refuse or do, what to know about each table. Pure. */
import { planCapture, type PlanStep } from '../capture/plan-capture.ts';
import { bucardoDeltaName } from '../capture/delta-name.ts';
import { resolveRelations, selectRelations, type Selected, type WantedRelation } from '../capture/wanted.ts';
import { displaySelector, isLiteral, matchRelations } from '../config/relations.ts';
import type { Sync } from '../config/types.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import { displayRelation, quoteIdentifier, quoteRelation } from '../postgres/identifiers.ts';
import { type Finding, findingOf, missingRights, note, rightOf } from './finding.ts';
import type { SourceFacts } from './read-source.ts';
import type { TableAccess } from './read-tables.ts';
import { findTemporaryFileLimits } from './temporary-files.ts';

export interface SourceLogin {
  /** The name in the configuration. */
  readonly database: string;
  readonly role: string;
  /** The name on the server. */
  readonly databaseName: string;
}

export function findSource(
  login: SourceLogin,
  syncs: readonly Sync[],
  facts: SourceFacts,
): readonly Finding[] {
  const { database } = login;
  return [
    ...findRights(database, facts),
    ...findApply(login, facts),
    ...syncs.flatMap((sync) => findSelectors(database, sync, facts)),
    ...selectedOf(syncs, facts).flatMap((selected) => findTable(login, selected, facts)),
    ...findSharedNames(database, facts),
    ...findTemporaryFileLimits(database, facts.temporaryFileLimits),
  ];
}

function findRights(database: string, { schema, unusable }: SourceFacts): readonly Finding[] {
  const missing = [...(schema.mayUse ? [] : ['USAGE on schema bucardo']), ...unusable];
  if (missing.length === 0) return [];
  return [findingOf(new BucardoError('BUC-DB-RIGHTS', { database, detail: missing.join('; ') }))];
}

/** Everything that would keep `apply` from its work, and what it would do. */
function findApply(login: SourceLogin, facts: SourceFacts): readonly Finding[] {
  const { database } = login;
  const { capture } = facts;
  if (capture === undefined) return [];
  const { steps, problems } = planCapture(capture);
  const findings = problems.flatMap((problem) => {
    const { relation, sync } = problem.concern;
    if (relation !== undefined) {
      const finding = tableProblem(problem, relation, login, facts);
      // A problem of several syncs belongs into the section of each.
      return finding === undefined
        ? []
        : (sync?.split(', ') ?? []).map((name) => ({ ...finding, sync: name }));
    }
    if (problem.code !== 'BUC-DB-RIGHTS') return [findingOf(problem)];
    const on = facts.schema.there ? 'schema bucardo' : `database ${quoteIdentifier(login.databaseName)}`;
    const finding = missingRights({ database }, [rightOf('CREATE')], { on, role: login.role });
    // With nothing to do `apply` needs no right; the next change of the configuration will.
    return [steps.length > 0 ? finding : { ...finding, severity: 'info' as const }];
  });
  findings.push(...steps.flatMap((step) => findMissed(database, step)));
  if (steps.length === 0) return findings;
  const titles = steps.map(({ title }) => title);
  const shown = titles.length > 3 ? [...titles.slice(0, 3), `${titles.length - 3} more steps`] : titles;
  return [
    ...findings,
    findingOf(
      new BucardoError('BUC-NOT-APPLIED', {
        database,
        detail: shown.join('; '),
        remedy: 'Run `bucardo apply`; `bucardo plan` shows all of it.',
      }),
      {},
      'info',
    ),
  ];
}

/** What `apply` would mend is not only mended: what changed meanwhile is nowhere. One finding for each sync that has the table. */
function findMissed(database: string, { relation, syncs, missed }: PlanStep): readonly Finding[] {
  if (relation === undefined || missed === undefined) return [];
  return syncs.map((sync) =>
    note(
      'warning',
      'changes-missed',
      { database, sync, relation },
      `changes of the table may have been missed: ${missed.join('; ')}`,
      `Run \`bucardo apply\`, then \`bucardo copy ${sync} --table ${relation}\`.`,
    ),
  );
}

/** Undefined if what the role may not see of the schema says it all. */
function tableProblem(
  problem: BucardoError,
  relation: string,
  { database, role }: SourceLogin,
  { capture, access }: SourceFacts,
): Finding | undefined {
  const known = access.get(relation);
  if (known?.mayUseSchema === false) return undefined;
  if (problem.code === 'BUC-TABLE-MISSING') return findingOf(missingTable(problem, known));
  const may = capture?.facts.get(relation);
  if (problem.code !== 'BUC-DB-RIGHTS' || known === undefined || may === undefined) return findingOf(problem);
  const lacking = [may.mayRead ? undefined : 'SELECT', may.mayTrigger ? undefined : 'TRIGGER'];
  const rights = lacking.filter((kind) => kind !== undefined).map((kind) => rightOf(kind));
  return missingRights({ database, relation }, rights, { on: quoteRelation(known), role });
}

/** The table is not there, or something of its name is no table. */
export function missingTable(error: BucardoError, known: TableAccess | undefined): BucardoError {
  if (known === undefined || known.kind === 'table') return error;
  return new BucardoError(error.code, {
    ...error.concern,
    detail: `there is a ${known.kind} of that name, and only tables are replicated`,
    remedy: 'Name the tables behind it instead, or take it out of the sync.',
  });
}

function findSelectors(database: string, sync: Sync, { capture }: SourceFacts): readonly Finding[] {
  if (capture === undefined) return [];
  const candidates = [...capture.existing, ...sync.include.filter(isLiteral)];
  const { unmatched, unmatchedExcludes } = matchRelations(sync, candidates);
  const where = { database, sync: sync.name };
  return [
    ...unmatched.map((selector) =>
      note(
        'warning',
        'nothing-matched',
        where,
        `'${displaySelector(selector)}' in tables matches no table (or only excluded ones)`,
        'Correct it, or create the tables and run `bucardo apply`.',
      ),
    ),
    ...unmatchedExcludes.map((selector) =>
      note(
        'warning',
        'nothing-matched',
        where,
        `'${displaySelector(selector)}' in exclude matches no table`,
        'Correct it, or take it out.',
      ),
    ),
  ];
}

function findTable(
  { database, role }: SourceLogin,
  { relation, sync, wanted }: SelectedTable,
  { capture, access }: SourceFacts,
): readonly Finding[] {
  const known = access.get(relation);
  const where = { database, sync, relation };
  const findings: Finding[] = [];
  if (known?.mayUseSchema === false) {
    const grant = { on: `schema ${quoteIdentifier(known.schema)}`, role };
    findings.push(missingRights(where, [rightOf('USAGE')], grant));
  }
  if (known?.rowSecurity === true) findings.push(findingOf(rowSecurityError(where)));
  if (known?.unlogged === true) {
    findings.push(
      note(
        'warning',
        'unlogged',
        where,
        'the table is unlogged: a crash of the server empties it unseen, and targets keep the rows',
        'alter table … set logged, or copy the table again after a crash (`bucardo copy`).',
      ),
    );
  }
  if (wanted === undefined) return findings;
  const nullable = capture?.tables
    .get(relation)
    ?.keys.find(({ columns }) => sameNames(columns, wanted.key))
    ?.columns.filter((column) => column.nullable)
    .map(({ name }) => name);
  if (nullable !== undefined && nullable.length > 0) {
    findings.push(
      note(
        'info',
        'key-nullable',
        where,
        `key column ${nullable.join(', ')} may be NULL: rows of equal keys are replaced together, NULL equal to NULL`,
      ),
    );
  }
  if (wanted.capture === 'row') {
    const why = capture?.tables.get(relation)?.partitioned === true ? ' (it is partitioned)' : '';
    findings.push(
      note(
        'info',
        'row-capture',
        where,
        `changes are captured row by row${why}, which slows bulk changes more than capture by statement`,
      ),
    );
  }
  return findings;
}

export function rowSecurityError(where: { database: string; sync: string; relation: string }): BucardoError {
  return new BucardoError('BUC-DB-RIGHTS', {
    ...where,
    detail: 'row security hides rows of it from the role',
    remedy: 'Give the role BYPASSRLS, or make it the table’s owner without FORCE ROW LEVEL SECURITY.',
  });
}

interface SelectedTable {
  readonly relation: string;
  readonly sync: string;
  /** Undefined if a problem keeps it from being captured. */
  readonly wanted: WantedRelation | undefined;
}

/** Every selected table once for each sync that has it. */
function selectedOf(syncs: readonly Sync[], facts: SourceFacts): readonly SelectedTable[] {
  const existing = facts.capture?.existing ?? [...facts.access.values()];
  const wanted = new Map(wantedRelations(facts).map((relation) => [displayRelation(relation), relation]));
  return selectRelations(syncs, existing).flatMap((selected) => {
    const relation = displayRelation(selected);
    return selected.syncs.map((sync) => ({ relation, sync, wanted: wanted.get(relation) }));
  });
}

/** What can be captured, with the keys by which it is or will be. */
export function wantedRelations({ capture }: SourceFacts): readonly WantedRelation[] {
  if (capture === undefined) return [];
  const { syncs, existing, tables, facts, installed, database } = capture;
  const selected: readonly Selected[] = selectRelations(syncs, existing);
  return resolveRelations(selected, tables, facts, installed, database.name).relations;
}

/** Bucardo's rule gives some different tables one name; the later one then gets another. */
function findSharedNames(database: string, facts: SourceFacts): readonly Finding[] {
  const groups = Map.groupBy(wantedRelations(facts), bucardoDeltaName);
  return [...groups.values()].flatMap((group) => {
    if (group.length < 2) return [];
    const names = group.map(displayRelation).join(', ');
    return [
      note(
        'info',
        'delta-name',
        { database },
        `${names} would share one delta table by Bucardo’s naming rule; each gets its own, told apart by a hash`,
      ),
    ];
  });
}

function sameNames(
  a: readonly { readonly name: string }[],
  b: readonly { readonly name: string }[],
): boolean {
  return a.length === b.length && a.every(({ name }, position) => name === b[position]?.name);
}
