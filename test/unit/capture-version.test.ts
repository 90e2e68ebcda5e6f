import { expect, test } from 'vitest';
import { captureFunctionBody, type CaptureSpec } from '../../shared/capture/capture-sql.ts';
import { CAPTURE_VERSION, captureVersion } from '../../shared/capture/capture-version.ts';

const spec: CaptureSpec = {
  schema: 'public',
  table: 'orders',
  deltaName: 'delta_public_orders',
  oid: 1,
  key: [{ name: 'id', deltaColumn: 'id', type: 'integer', nullable: false }],
  capture: 'statement',
  always: false,
  partitions: [],
  wake: 'notify',
};

test.each(['statement', 'row'] as const)('the body of a %s capture says its version', (capture) => {
  expect(captureVersion(captureFunctionBody({ ...spec, capture }))).toBe(CAPTURE_VERSION);
});

test('a body from before the marker is of version 2', () => {
  const body = `\ndeclare\n  stamp timestamptz := clock_timestamp();\nbegin\n  return null;\nend\n`;
  expect(captureVersion(body)).toBe(2);
});

test('a body that somebody else wrote has no version', () => {
  expect(captureVersion(`begin return null; end`)).toBeUndefined();
  expect(captureVersion(`\nbegin\n-- bucardo capture 3\nreturn null; end`)).toBeUndefined();
});
