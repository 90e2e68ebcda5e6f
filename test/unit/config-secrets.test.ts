/**
 * References become URLs when they are needed, and never appear in errors. Secrets Manager and Parameter Store are a stand-in here: an
 * HTTP server on loopback that speaks GetSecretValue's and GetParameter's protocols to the real SDK clients.
 */
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { freshUrl, resolveUrl } from '../../shared/config/secrets.ts';
import type { Database, ValueRef } from '../../shared/config/types.ts';
import { env, parameter, secret } from '../../shared/config/value-refs.ts';
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
      const [status, answer] =
        request.headers['x-amz-target'] === 'AmazonSSM.GetParameter' ? getParameter(body) : getSecret(body);
      response
        .writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
        .end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${port}`);
  vi.stubEnv('AWS_REGION', 'eu-west-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
  await new Promise((resolve) => server.close(resolve));
});

function getSecret(body: string): readonly [number, unknown] {
  const { SecretId } = JSON.parse(body) as { readonly SecretId: string };
  const held = secrets[SecretId] ?? { error: 'ResourceNotFoundException' };
  if (typeof held !== 'string') return [400, { __type: held.error, message: `no ${SecretId} with hunter2` }];
  return [200, { Name: SecretId, SecretString: held }];
}

/** Encrypted ones are answered in clear only to who asks for it. */
function getParameter(body: string): readonly [number, unknown] {
  const { Name, WithDecryption } = JSON.parse(body) as {
    readonly Name: string;
    readonly WithDecryption?: boolean;
  };
  const held = secrets[Name] ?? { error: 'ParameterNotFound' };
  if (typeof held !== 'string') return [400, { __type: held.error, message: `no ${Name} with hunter2` }];
  return [
    200,
    { Parameter: { Name, Type: 'SecureString', Value: WithDecryption === true ? held : 'encrypted' } },
  ];
}

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
  expect(reads).toBe(1);
  // It is not forgotten that somebody asked for a new one.
  vi.setSystemTime(Date.now() + 5_001);
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://new/d');
  vi.setSystemTime(Date.now() + 5_001);
  secrets = { [name]: 'postgres://newer/d' };
  expect(await resolveUrl(database(secret(name)))).toBe('postgres://new/d');
  expect(await freshUrl(database(secret(name)))).toBe('postgres://newer/d');
  expect(reads).toBe(3);
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

test('a parameter is a URL, decrypted, kept like a secret, and read again when it was rotated', async () => {
  const name = `/${freshName()}`;
  secrets = { [name]: ` ${URL_TEXT}\n` };
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  expect(await resolveUrl(database(parameter(name)))).toBe(URL_TEXT);
  secrets = { [name]: 'postgres://new/d' };
  expect(await resolveUrl(database(parameter(name)))).toBe(URL_TEXT);
  vi.setSystemTime(Date.now() + 5_001);
  expect(await freshUrl(database(parameter(name)))).toBe('postgres://new/d');
  expect(reads).toBe(2);
});

test.each([
  ['ParameterNotFound', /parameter\('\/\w+\/test-\d+'\): there is no such parameter/],
  ['AccessDeniedException', /ssm:GetParameter/],
  ['InvalidKeyId', /kms:Decrypt/],
])('a parameter that cannot be had (%s) tells what is missing', async (error, message) => {
  const name = `/${freshName()}`;
  secrets = { [name]: { error } };
  expect((await refusal(parameter(name))).message).toMatch(message);
});

describe('a login by IAM', () => {
  const iam = { user: 'replicator@home', resourceId: 'db-ABC' };
  const INSTANCE = 'shop.abc.eu-central-1.rds.amazonaws.com';
  const withLogin = (url: string): Database => ({ ...database(url), iam });

  test('puts the user and a signed token into the URL, and verifies the server', async () => {
    const url = new URL(
      await resolveUrl(withLogin(`postgres://other@${INSTANCE}:5433/shop?sslmode=disable`)),
    );
    expect(decodeURIComponent(url.username)).toBe(iam.user);
    expect(url.host).toBe(`${INSTANCE}:5433`);
    expect(url.searchParams.get('sslmode')).toBe('verify-full');
    const token = new URL(`https://${decodeURIComponent(url.password)}`);
    expect(token.host).toBe(`${INSTANCE}:5433`);
    expect(token.searchParams.get('DBUser')).toBe(iam.user);
    // The region is the instance's, not the program's.
    expect(token.searchParams.get('X-Amz-Credential')).toContain('/eu-central-1/rds-db/');
  });

  test('is signed for no other server than the one that is connected to', async () => {
    const url = new URL(
      await resolveUrl(withLogin(`postgres://${INSTANCE}/shop?host=evil.example&user=me&password=x&ssl=no`)),
    );
    expect([...url.searchParams.keys()]).toEqual(['sslmode']);
    expect(decodeURIComponent(url.password)).toMatch(new RegExp(`^${INSTANCE}:5432/`));
  });

  test('keeps a token for ten minutes, unless a new one is asked for', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    const shop = withLogin(`postgres://${INSTANCE}/kept`);
    const first = await resolveUrl(shop);
    vi.setSystemTime(Date.now() + 9 * 60_000);
    expect(await resolveUrl(shop)).toBe(first);
    const second = await freshUrl(shop);
    expect(second).not.toBe(first);
    vi.setSystemTime(Date.now() + 10 * 60_000 + 1);
    expect(await resolveUrl(shop)).not.toBe(second);
  });

  test('without credentials or a host says what to give', async () => {
    const reasonOf = (url: string): Promise<unknown> =>
      resolveUrl(withLogin(url)).catch((error: unknown) => error);
    expect(await reasonOf('postgres:///shop')).toMatchObject({
      code: 'BUC-SECRET-MISSING',
      message: expect.stringContaining('the URL has no host name') as string,
    });
    vi.stubEnv('AWS_ACCESS_KEY_ID', '');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', '');
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere');
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    expect(await reasonOf('postgres://elsewhere.example/shop')).toMatchObject({
      code: 'BUC-SECRET-MISSING',
      concern: { database: 'shop' },
      message: expect.stringContaining('there are no AWS credentials here') as string,
    });
  });
});
