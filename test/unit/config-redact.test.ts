/** No password survives redaction, and settings come from the environment by name. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { closestName } from '../../shared/config/closest-name.ts';
import { readSettings } from '../../shared/config/environment.ts';
import { redactUrl } from '../../shared/config/redact-url.ts';

test.each([
  ['postgres://u:secret@h:5432/d?sslmode=require', 'postgres://u:***@h:5432/d?sslmode=require'],
  ['postgres://u@h/d', 'postgres://u@h/d'],
  ['postgres://h:5432/d', 'postgres://h:5432/d'],
  ['postgres://u:a/b#c?d@e@h/d', 'postgres://u:***@h/d'],
  ['postgres://:secret@h/d', 'postgres://:***@h/d'],
  ['postgres://u@h/d?password=secret&sslmode=require', 'postgres://u@h/d?password=***&sslmode=require'],
  ["host=h password='se cret' dbname=d", 'host=h password=*** dbname=d'],
  ['"postgres://a:one@h/d", "redis://b:two@i/0"', '"postgres://a:***@h/d", "redis://b:***@i/0"'],
  ['nothing to hide: a@b', 'nothing to hide: a@b'],
])('%s is shown as %s', (text, shown) => {
  expect(redactUrl(text)).toBe(shown);
});

test('whatever a password is made of, it is not shown', () => {
  const password = fc.string({ minLength: 6, maxLength: 20 }).filter((text) => /^[^\s"'`]+$/.test(text));
  fc.assert(
    fc.property(password, (secret) => {
      expect(redactUrl(`before postgres://user:${secret}@host:5432/db after`)).toBe(
        'before postgres://user:***@host:5432/db after',
      );
    }),
  );
});

test('settings have defaults, and an unknown level of logging stops nothing', () => {
  const none = {
    queueUrl: undefined,
    deadLetterQueueUrl: undefined,
    events: false,
    health: undefined,
    logLevel: 'info',
  };
  expect(readSettings({})).toEqual(none);
  expect(readSettings({ BUCARDO_QUEUE_URL: ' http://q/1.fifo ', LOG_LEVEL: 'DEBUG' })).toEqual({
    ...none,
    queueUrl: 'http://q/1.fifo',
    logLevel: 'debug',
  });
  expect(readSettings({ BUCARDO_QUEUE_URL: '', LOG_LEVEL: 'loud', BUCARDO_EVENTS: 'yes' })).toEqual(none);
});

test.each([
  ['targest', 'targets'],
  ['Sources', 'sources'],
  ['tabels', 'tables'],
  ['zzz', undefined],
  ['a', undefined],
])('%s is taken for %s', (typed, meant) => {
  expect(closestName(typed, ['sources', 'targets', 'tables', 'b'])).toBe(meant);
});
