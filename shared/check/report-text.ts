/** A check's findings for people: databases first, then syncs; errors before warnings before notes. Pure. */
import type { Fleet } from '../config/types.ts';
import { countOf, type Finding, type Severity } from './finding.ts';

const ORDER: readonly Severity[] = ['error', 'warning', 'info'];
const LABELS: Readonly<Record<Severity, string>> = { error: 'ERROR', warning: 'warning', info: 'info' };
const WIDTH = 7;

export function reportText(fleet: Fleet, findings: readonly Finding[]): string {
  const sections = [
    ...[...fleet.databases.keys()].map((name) => ({
      title: `Database ${name}`,
      findings: findings.filter((finding) => finding.sync === undefined && finding.database === name),
      // The heading says it.
      hide: ['database'] as const,
    })),
    ...[...fleet.syncs.keys()].map((name) => ({
      title: `Sync ${name}`,
      findings: findings.filter((finding) => finding.sync === name),
      hide: [] as const,
    })),
  ];
  return [
    ...sections.flatMap(({ title, findings, hide }) => {
      const lines = findings.length === 0 ? ['  ok'] : inOrder(findings).flatMap((one) => linesOf(one, hide));
      return [title, ...lines, ''];
    }),
    summaryText(findings),
  ].join('\n');
}

/** `2 errors, 1 warning, 5 notes` */
export function summaryText(findings: readonly Finding[]): string {
  const counted = (severity: Severity, word: string): string => {
    const count = countOf(findings, severity);
    return `${count} ${word}${count === 1 ? '' : 's'}`;
  };
  return `${counted('error', 'error')}, ${counted('warning', 'warning')}, ${counted('info', 'note')}`;
}

function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return ORDER.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
}

function linesOf(finding: Finding, hide: readonly 'database'[]): readonly string[] {
  const { severity, code, relation, column, text, remedy } = finding;
  const database = hide.includes('database') ? undefined : finding.database;
  const table = relation === undefined ? column : column === undefined ? relation : `${relation}.${column}`;
  const where = [database, table].filter((part) => part !== undefined).join(' ');
  const shownCode = code.startsWith('BUC-') ? ` (${code})` : '';
  const first = `  ${LABELS[severity].padEnd(WIDTH)}  ${where === '' ? '' : `${where}: `}${text}${shownCode}`;
  return remedy === undefined ? [first] : [first, `  ${' '.repeat(WIDTH)}  What to do: ${remedy}`];
}

/** Every finding with all keys, null where there is nothing to say. */
export function reportJson(findings: readonly Finding[]): string {
  return JSON.stringify(
    findings.map(({ severity, code, database, sync, relation, column, text, remedy }) => ({
      severity,
      code,
      database: database ?? null,
      sync: sync ?? null,
      relation: relation ?? null,
      column: column ?? null,
      text,
      remedy: remedy ?? null,
    })),
    null,
    2,
  );
}
