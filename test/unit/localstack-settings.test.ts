import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { environmentFor } from '../../localstack/aws-environment.ts';
import { dockerCommand } from '../../localstack/docker.ts';
import { settingsOf } from '../../localstack/settings.ts';

test('a person who is signed in to AWS deploys to LocalStack all the same', () => {
  const environment = environmentFor('http://127.0.0.1:4566', {
    PATH: '/bin',
    AWS_PROFILE: 'production',
    AWS_SESSION_TOKEN: 'real',
    AWS_ACCESS_KEY_ID: 'real',
    AWS_ENDPOINT_URL_SQS: 'https://elsewhere',
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true',
    CDK_DEFAULT_ACCOUNT: '123456789012',
    BUCARDO_QUEUE_URL: 'https://elsewhere',
  });
  expect(environment).toEqual({
    PATH: '/bin',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:4566',
    AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:4566',
    AWS_REGION: 'us-east-1',
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    CDK_DEFAULT_ACCOUNT: '000000000000',
    CDK_DEFAULT_REGION: 'us-east-1',
  });
});

test('LocalStack listens on the loopback address only', () => {
  expect(settingsOf(4567)).toMatchObject({ GATEWAY_LISTEN: '127.0.0.1:4567', GATEWAY_SERVER: 'hypercorn' });
  const [, args] = dockerCommand(4567);
  expect(args).toContain('GATEWAY_LISTEN=127.0.0.1:4567');
  // Publishing a port would open it on every address.
  expect(args).not.toContain('--publish');
  expect(args.at(-1)).toMatch(/:\d+\.\d+\.\d+$/);
});

test.each(['requirements.txt', 'requirements-uv.txt'])('%s pins and hashes every package', (name) => {
  const text = readFileSync(join(import.meta.dirname, '../../localstack', name), 'utf8');
  const packages = text
    .replaceAll(/ *#.*/g, '')
    .split(/\n(?=[a-z])/i)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  expect(packages.length).toBeGreaterThan(0);
  for (const part of packages) expect(part).toMatch(/^[\w.[\]-]+==[\w.]+ \\\n +--hash=sha256:[0-9a-f]{64}/);
  // Where packages come from is for whoever installs them to say.
  expect(text).not.toMatch(/https?:|--index|--extra-index|--find-links/);
});
