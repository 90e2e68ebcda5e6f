import { expect, test } from 'vitest';
import { logLine } from '../../cli/log-line.ts';

const FAILED = {
  level: 'ERROR',
  timestamp: '2026-11-25T07:07:07.675Z',
  service: 'replicate',
  event: 'lane.run.failed',
  message: 'A database refused the login',
  sync: 'orders',
  destination: 'reports',
  code: 'BUC-DB-AUTH',
  requestId: 'r1',
};

test('a line is its time, level, event, what it concerns, and its text', () => {
  expect(logLine(JSON.stringify(FAILED), { sync: 'orders' })).toBe(
    '2026-11-25T07:07:07.675Z ERROR lane.run.failed destination=reports code=BUC-DB-AUTH – A database refused the login',
  );
});

test('only the sync’s own lines are shown, and with errors only those', () => {
  expect(logLine(JSON.stringify(FAILED), { sync: 'visits' })).toBeUndefined();
  expect(logLine(JSON.stringify(FAILED), { sync: 'orders', errors: true })).toBeDefined();
  const info = JSON.stringify({ ...FAILED, level: 'INFO' });
  expect(logLine(info, { sync: 'orders', errors: true })).toBeUndefined();
  expect(logLine(info, { sync: 'orders', json: true })).toBe(info);
});

test.each([
  'START RequestId: r1',
  '',
  '{"_aws":{},"event":"x","sync":"orders"}',
  '{"sync":"orders"}',
  '"text"',
  '{',
])('what is no event is left out: %s', (text) => {
  expect(logLine(text, { sync: 'orders' })).toBeUndefined();
});
