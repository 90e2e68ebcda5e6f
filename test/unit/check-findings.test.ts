import { expect, test } from 'vitest';
import type { Finding } from '../../shared/check/finding.ts';
import { clockOf, type ServerFacts } from '../../shared/check/read-server.ts';
import { reportJson, reportText } from '../../shared/check/report-text.ts';
import { findServer, findServerPair } from '../../shared/check/server-findings.ts';
import type { Wake } from '../../shared/config/types.ts';
import { validateConfig } from '../../shared/config/validate-config.ts';

const HEALTHY: ServerFacts = {
  version: 180_004,
  role: 'bucardo',
  databaseName: 'shop',
  tls: true,
  local: false,
  readOnly: 'no',
  encoding: 'UTF8',
  collation: 'C',
  synchronousCommit: 'on',
  replicaByDefault: [],
  mayCreateTemporary: true,
  mayReadControl: true,
  preparable: 0,
  prepared: { count: 0, oldestSeconds: 0 },
  identity: 'east',
  mayBeReplica: true,
  laneTable: 'usable',
  mayCreateLaneTable: true,
  clock: { aheadSeconds: 0, uncertainSeconds: 0.01 },
};

function codesOf(findings: readonly Finding[], severity: Finding['severity']): readonly string[] {
  return findings.filter((finding) => finding.severity === severity).map(({ code }) => code);
}

function findBoth(facts: Partial<ServerFacts>, wake: Wake = 'auto'): readonly Finding[] {
  return findServer('east', { ...HEALTHY, ...facts }, { isSource: true, isTarget: true, wake });
}

function findPair(source: Partial<ServerFacts>, target: Partial<ServerFacts>): readonly Finding[] {
  return findServerPair({
    sync: 'orders',
    source: { name: 'east', facts: { ...HEALTHY, ...source } },
    target: { name: 'reports', facts: { ...HEALTHY, databaseName: 'copy', identity: 'reports', ...target } },
  });
}

test('a healthy server is described in one line, with version, login, TLS and clock', () => {
  const findings = findBoth({ clock: { aheadSeconds: -0.25, uncertainSeconds: 0.004 } });
  expect(findings).toHaveLength(1);
  expect(findings[0]).toMatchObject({ severity: 'info', code: 'server' });
  expect(findings[0]?.text).toBe(
    'Postgres 18.4, database shop as bucardo, over TLS, UTF8, clock -0.250 s (± 0.004 s) from here',
  );
});

test('a connection without TLS is a warning unless it stays on this machine', () => {
  expect(codesOf(findBoth({ tls: false }), 'warning')).toEqual(['tls-off']);
  expect(codesOf(findBoth({ tls: false, local: true }), 'warning')).toEqual([]);
});

test('a standby and a read-only server are errors that tell which of the two it is', () => {
  const [, standby] = findBoth({ readOnly: 'standby' });
  expect(standby).toMatchObject({ severity: 'error', code: 'BUC-DB-READ-ONLY' });
  expect(standby?.text).toContain('standby');
  expect(findBoth({ readOnly: 'setting' })[1]?.text).toContain('default_transaction_read_only');
});

test('a server newer than the tested ones is worth a note, not an error', () => {
  const findings = findBoth({ version: 190_000 });
  expect(codesOf(findings, 'error')).toEqual([]);
  expect(codesOf(findings, 'info')).toContain('server-newer');
});

test('prepared transactions and how changes become known are put in relation', () => {
  const about = (facts: Partial<ServerFacts>, wake: Wake) =>
    findBoth(facts, wake)
      .filter(({ code }) => code === 'two-phase-commit')
      .map(({ severity }) => severity);
  for (const wake of ['auto', 'notify', 'poll'] as const) expect(about({}, wake)).toEqual([]);
  expect(about({ preparable: 5 }, 'auto')).toEqual(['info']);
  expect(about({ preparable: 5 }, 'poll')).toEqual([]);
  expect(about({ preparable: 5 }, 'notify')).toEqual(['warning']);
  const fresh = { preparable: 5, prepared: { count: 1, oldestSeconds: 60 } };
  expect(about(fresh, 'poll')).toEqual([]);
  expect(about({ ...fresh, prepared: { count: 1, oldestSeconds: 90_000 } }, 'poll')).toEqual(['warning']);
});

test('an offset is measured at half the round trip', () => {
  const { aheadSeconds, uncertainSeconds } = clockOf(100, 103, 102);
  expect(aheadSeconds).toBe(2);
  expect(uncertainSeconds).toBe(1);
});

test('clocks that certainly differ by a second are a warning, and never an error', () => {
  const far = findPair({}, { clock: { aheadSeconds: 1.5, uncertainSeconds: 0.01 } });
  expect(far).toMatchObject([{ severity: 'warning', code: 'clock-difference', database: 'reports' }]);
  expect(far[0]?.text).toContain('1.5 s ahead of that of east');
  const behind = findPair({ clock: { aheadSeconds: 3000, uncertainSeconds: 0 } }, {});
  expect(behind[0]).toMatchObject({ severity: 'warning' });
  expect(behind[0]?.text).toContain('3000.0 s behind');
  expect(findPair({}, { clock: { aheadSeconds: 0.9, uncertainSeconds: 0 } })).toEqual([]);
  expect(findPair({}, { clock: { aheadSeconds: 1.5, uncertainSeconds: 0.6 } })).toEqual([]);
});

test('a target that is its own source is an error', () => {
  expect(findPair({}, { databaseName: 'shop', identity: 'east' })).toMatchObject([
    { severity: 'error', code: 'same-database' },
  ]);
  expect(findPair({}, { databaseName: 'shop' })).toEqual([]);
});

test('an encoding that lacks characters of the source is a warning; UTF8 lacks none', () => {
  expect(findPair({}, { encoding: 'LATIN1' })).toMatchObject([{ severity: 'warning', code: 'encoding' }]);
  expect(findPair({ encoding: 'LATIN1' }, {})).toEqual([]);
});

const FLEET = validateConfig(
  {
    databases: {
      east: { engine: 'postgres', url: 'postgres://u@h/east' },
      reports: { engine: 'postgres', url: 'postgres://u@h/reports' },
    },
    syncs: { orders: { sources: ['east'], targets: ['reports'], tables: ['public.*'] } },
  },
  'bucardo.config.ts',
);

const FINDINGS: readonly Finding[] = [
  { severity: 'info', code: 'server', database: 'east', text: 'fine', remedy: undefined },
  {
    severity: 'warning',
    code: 'unlogged',
    database: 'east',
    sync: 'orders',
    relation: 'public.a',
    text: 'is unlogged',
    remedy: 'Log it.',
  },
  {
    severity: 'error',
    code: 'BUC-COLUMN-MISSING',
    database: 'reports',
    sync: 'orders',
    relation: 'public.a',
    column: 'total',
    text: 'is missing',
    remedy: 'Add it.',
  },
];

test('the text groups by database and sync, puts errors first, and counts at the end', () => {
  expect(reportText(FLEET, FINDINGS).split('\n')).toEqual([
    'Database east',
    '  info     fine',
    '',
    'Database reports',
    '  ok',
    '',
    'Sync orders',
    '  ERROR    reports public.a.total: is missing (BUC-COLUMN-MISSING)',
    '           What to do: Add it.',
    '  warning  east public.a: is unlogged',
    '           What to do: Log it.',
    '',
    '1 error, 1 warning, 1 note',
  ]);
});

test('every finding in the JSON has the same keys', () => {
  const parsed = JSON.parse(reportJson(FINDINGS)) as readonly Record<string, unknown>[];
  const keys = ['severity', 'code', 'database', 'sync', 'relation', 'column', 'text', 'remedy'];
  expect(parsed.map((finding) => Object.keys(finding))).toEqual([keys, keys, keys]);
  expect(parsed[0]).toMatchObject({ database: 'east', sync: null, column: null, remedy: null });
});

test('a target without the table of lanes’ rows is told of, with the statements where apply may not make it', () => {
  expect(codesOf(findBoth({ laneTable: 'absent' }), 'warning')).toEqual([]);
  expect(codesOf(findBoth({ laneTable: 'absent' }), 'info')).toContain('lane-table');
  for (const facts of [
    { laneTable: 'absent', mayCreateLaneTable: false },
    { laneTable: 'forbidden' },
  ] as const) {
    const finding = findBoth(facts).find(({ code }) => code === 'lane-table');
    expect(finding?.severity).toBe('warning');
    expect(finding?.text).toContain('not noticed');
    expect(finding?.remedy).toMatch(/create table .* bucardo\.lane .* grant select.* to "bucardo"/);
  }
});
