/**
 * What a check finds: where, what is wrong, what to do. Findings hold names and settings only, never row values or
 * secrets, so that a report may be shown to everybody.
 */
import { BucardoError, type Concern } from '../errors/bucardo-error.ts';
import { type ErrorCode, errorCodes } from '../errors/codes.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';

/** `error` keeps something from working; `warning` may; `info` is good to know. */
export type Severity = 'error' | 'warning' | 'info';

/** What is noticed and is no error that a run would meet. */
export type Note =
  | 'server'
  | 'server-newer'
  | 'tls-off'
  | 'clock'
  | 'clock-difference'
  | 'encoding'
  | 'commits-not-durable'
  | 'same-database'
  | 'delivered-twice'
  | 'cascade'
  | 'nothing-matched'
  | 'key-nullable'
  | 'row-capture'
  | 'changes-missed'
  | 'two-phase-commit'
  | 'delta-name'
  | 'unlogged'
  | 'temp-file-limit'
  | 'no-replica-role'
  | 'lane-table'
  | 'dumped-capture'
  | 'replica-role-by-default'
  | 'trigger-fires'
  | 'rule-acts'
  | 'foreign-key-acts'
  | 'key-collation'
  | 'generated-at-target'
  | 'identity-at-target'
  | 'rows-rejected'
  | 'copy-running'
  | 'copy-skipped'
  | 'lane-paused'
  | 'source-moved'
  | 'never-ran'
  | 'changes-waiting'
  | 'not-checked';

export interface Where {
  /** The database's name in the configuration. */
  readonly database?: string;
  readonly sync?: string;
  /** `schema.table` for display. */
  readonly relation?: string;
  readonly column?: string;
}

export interface Finding extends Where {
  readonly severity: Severity;
  readonly code: ErrorCode | Note;
  /** One sentence without a full stop: what is wrong. */
  readonly text: string;
  /** What to do about it; undefined where nothing needs to be done. */
  readonly remedy: string | undefined;
}

export function note(severity: Severity, code: Note, where: Where, text: string, remedy?: string): Finding {
  return { severity, code, ...where, text, remedy };
}

/** An error that a run or `apply` would end with, in the words of that error. */
export function findingOf(error: BucardoError, where: Where = {}, severity: Severity = 'error'): Finding {
  const { code, concern, detail, remedy } = error;
  const { title } = errorCodes[code];
  return {
    severity,
    code,
    ...definedOnly({ ...where, ...definedOnly(concern) }),
    text: detail === undefined ? title : `${title}: ${detail}`,
    remedy,
  };
}

/** One right, for people and in SQL. */
export interface Right {
  /** `UPDATE (total)` */
  readonly shown: string;
  /** `update ("total")` */
  readonly sql: string;
}

export function rightOf(kind: string, columns: readonly string[] = []): Right {
  if (columns.length === 0) return { shown: kind, sql: kind.toLowerCase() };
  return {
    shown: `${kind} (${columns.join(', ')})`,
    sql: `${kind.toLowerCase()} (${columns.map(quoteIdentifier).join(', ')})`,
  };
}

/** Missing rights on one object, and the statement that grants them. `on` is SQL: `schema "shop"`. */
export function missingRights(
  where: Where,
  rights: readonly Right[],
  grant: { readonly on: string; readonly role: string },
): Finding {
  const detail = `${rights.map(({ shown }) => shown).join(', ')} on ${grant.on}`.replaceAll('"', '');
  const sql = rights.map(({ sql }) => sql).join(', ');
  const remedy = `grant ${sql} on ${grant.on} to ${quoteIdentifier(grant.role)};`;
  return findingOf(new BucardoError('BUC-DB-RIGHTS', { ...where, detail, remedy }));
}

export function countOf(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

function definedOnly(where: Concern): Where {
  return Object.fromEntries(Object.entries(where).filter(([, name]) => name !== undefined));
}
