/**
 * References become URLs when they are needed, and never appear in errors. Secrets Manager is a stand-in here: an HTTP
 * server on loopback that speaks GetSecretValue's protocol to the real SDK client.
 */
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freshUrl, resolveUrl } from '../../shared/config/secrets.ts';
import type { Database, ValueRef } from '../../shared/config/types.ts';
import { env, secret } from '../../shared/config/value-refs.ts';
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

const URL_TEXT = 'postgres://app:hunter2@db.example:5432/shop';

let server: Server;
/** What the stand-in holds: a text, or the name of the error that it answers. */
let secrets: Record<string, string | { readonly error: string }>;
let reads: number;
let counter = 0;

beforeEach(async () => {
  secrets = {};
  reads = 0;
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      reads += 1;
      const { SecretId } = JSON.parse(body) as { readonly SecretId: string };
      const held = secrets[SecretId] ?? { error: 'ResourceNotFoundException' };
      const [status, answer] =
        typeof held === 'string'
          ? [200, { Name: SecretId, SecretString: held }]
          : [400, { __type: held.error, message: `no ${SecretId} with hunter2` }];
      response
        .writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
        .end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', `http://127.0.0.1:${port}`);
  vi.stubEnv('AWS_REGION', 'eu-west-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
  await new Promise((resolve) => server.close(resolve));
});

const database = (url: ValueRef | string): Database => ({
  name: 'shop',
  engine: 'postgres',
  url,
  wake: 'notify',
});

/** A name that no other test has used: what was read is kept by the module. */
function freshName(): string {
  counter += 1;
  return `bucardo/test-${counter}`;
}

async function refusal(url: ValueRef): Promise<BucardoError> {
  const error: unknown = await resolveUrl(database(url)).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BucardoError)) throw new Error('was not refused', { cause: error });
  expect(error.code).toBe('BUC-SECRET-MISSING');
  expect(error.concern.database).toBe('shop');
  expect(error.toText()).not.toContain('hunter2');
  return error;
}

test('a plain URL is itself, and a variable is read when it is needed', async () => {
  expect(await resolveUrl(database('postgres://u@h/d'))).toBe('postgres://u@h/d');
  const reference = env('CONFIG_TEST_URL');
  vi.stubEnv('CONFIG_TEST_URL', `${URL_TEXT}\n`);
  expect(await resolveUrl(database(reference))).toBe(URL_TEXT);
});

test.each([undefined, '', '  '])('a variable that is %j is missing, by name', async (value) => {
  vi.stubEnv('CONFIG_TEST_URL', value);
  expect((await refusal(env('CONFIG_TEST_URL'))).message).toContain(
    "env('CONFIG_TEST_URL'): the variable is not set",
  );
});

test('a secret is a URL, or a field of a JSON object', async () => {
  const [plain, object] = [freshName(), freshName()];
  secrets = { [plain]: ` ${URL_TEXT}\n`, [object]: JSON.stringify({ url: URL_TEXT, other: 1 }) };
  expect(await resolveUrl(database(secret(plain)))).toBe(URL_TEXT);
  expect(await resolveUrl(database(secret(object, { field: 'url' })))).toBe(URL_TEXT);
});

test('a secret is read once for all who ask, also at the same time and for other fields', async () => {
  const name = freshName();
  secrets = { [name]: JSON.stringify({ east: 'postgres://e/d', west: 'postgres://w/d' }) };
  const references = ['east', 'west', 'east', 'west'].map((field) => secret(name, { field }));
  expect(await Promise.all(references.map((reference) => resolveUrl(database(reference))))).toEqual([
    'postgres://e/d',
    'postgres://w/d',
    'postgres://e/d',
    'postgres://w/d',
  ]);
  await resolveUrl(database(secret(name, { field: 'east' })));
  expect(reads).toBe(1);
});

test('a rotated secret is read again when it is asked for anew, and not more than every few seconds', async () => {
  const name = freshName();
  secrets = { [name]: 'postgres://old/d' };
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://old/d');
  secrets = { [name]: 'postgres://new/d' };
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://old/d');
  expect(await freshUrl(database(secret(name)))).toBe('postgres://old/d');
  vi.setSystemTime(Date.now() + 5_001);
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://old/d');
  expect(await freshUrl(database(secret(name)))).toBe('postgres://new/d');
  expect(reads).toBe(2);
});

test('a rotated secret is noticed after five minutes at the latest', async () => {
  const name = freshName();
  secrets = { [name]: 'postgres://old/d' };
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://old/d');
  secrets = { [name]: 'postgres://new/d' };
  vi.setSystemTime(Date.now() + 4 * 60_000);
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://old/d');
  vi.setSystemTime(Date.now() + 61_000);
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://new/d');
});

test('a failure is not kept: a secret that is created later is found', async () => {
  const name = freshName();
  expect((await refusal(secret(name))).message).toContain(`secret('${name}'): there is no such secret`);
  secrets = { [name]: URL_TEXT };
  expect(await resolveUrl(database(secret(name)))).toBe(URL_TEXT);
});

test('a secret that may not be read tells which right is missing', async () => {
  const name = freshName();
  secrets = { [name]: { error: 'AccessDeniedException' } };
  expect((await refusal(secret(name))).message).toContain('secretsmanager:GetSecretValue');
});

test.each([
  [
    'a JSON object without a field named',
    `{"url":"${URL_TEXT}"}`,
    undefined,
    /name the field that is the URL/,
  ],
  ['a field that is not there', `{"url":"${URL_TEXT}"}`, 'uri', /no JSON object with text in 'uri'/],
  ['a field that every object inherits', `{"url":"${URL_TEXT}"}`, 'constructor', /no JSON object with text/],
  ['a field that is no text', '{"url":{"a":"hunter2"}}', 'url', /no JSON object with text in 'url'/],
  ['text that is no JSON', URL_TEXT, 'url', /no JSON object with text in 'url'/],
])('%s is told without its contents', async (_name, text, field, message) => {
  const name = freshName();
  secrets = { [name]: text };
  const error = await refusal(field === undefined ? secret(name) : secret(name, { field }));
  expect(error.message).toMatch(message);
  expect(JSON.stringify([error.cause, String(error.cause)])).not.toContain('hunter2');
});
