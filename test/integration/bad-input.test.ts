/**
 * Bad input: one thing is wrong in an otherwise healthy scene. The check tells it in one finding, the program that meets it
 * ends with one error of the right code or sets the relation or row aside, nothing private is shown, nothing is changed;
 * and once it is mended everything arrives.
 */
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { ErrorCode } from '../../shared/errors/codes.ts';
import { freePort, type PostgresServer } from '../../shared/local/postgres-server.ts';
import { admin, LimitedScene, type Outcome, PRIVATE, startLimitedServer } from '../support/limited-scene.ts';

let server: PostgresServer;
let silent: Server;
let silentPort: number;

beforeAll(async () => {
  server = await startLimitedServer(inject('serverMajor'));
  await admin(server, 'postgres', (db) =>
    db
      .script('create database closed')
      .then(() => db.script('revoke connect on database closed from public')),
  );
  silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  silentPort = typeof address === 'object' && address !== null ? address.port : 0;
});
afterAll(async () => {
  silent.close();
  await server.destroy();
});

interface BadInput {
  readonly what: string;
  readonly code: ErrorCode;
  /** What the check and the error both say. */
  readonly says: RegExp;
  readonly severity?: 'warning';
}

interface BadRights extends BadInput {
  readonly side: 'source' | 'target';
  readonly take: string;
  readonly give: string;
}

async function expectOneFinding(scene: LimitedScene, { code, says, severity }: BadInput): Promise<void> {
  const findings = await scene.check();
  expect(JSON.stringify(findings)).not.toContain(PRIVATE);
  const bad = findings.filter((finding) => finding.severity === (severity ?? 'error'));
  expect(bad).toHaveLength(1);
  expect(bad[0]).toMatchObject({ code });
  expect(bad[0]?.text).toMatch(says);
  expect(bad[0]?.remedy).toBeDefined();
}

function expectPrivate({ error, held, parked, log }: Outcome): void {
  const shown = [error?.message, error?.toText(), JSON.stringify(error), JSON.stringify([held, parked]), log];
  expect(shown.join('\n')).not.toContain(PRIVATE);
}

async function expectArrival(scene: LimitedScene): Promise<void> {
  await scene.retryNow();
  const mended = await scene.run();
  expect(mended.error).toBeUndefined();
  expect(mended.held).toEqual([]);
  expect(await scene.rows('target')).toEqual(await scene.rows('source'));
}

test('the scene is healthy as long as nothing is taken away', async () => {
  const scene = await LimitedScene.create(server);
  const serious = async () => (await scene.check()).filter(({ severity }) => severity !== 'info');
  expect(await serious()).toEqual([]);
  await scene.replicateAndChange();
  expect(await serious()).toEqual([]);
  await expectArrival(scene);
  expect(await scene.rows('target')).toHaveLength(2);
});

describe('apply, at a source', () => {
  test.each<BadRights>([
    {
      what: 'that the role may not connect to',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /permission denied for database/,
      take: 'revoke connect on database $SOURCE from public',
      give: 'grant connect on database $SOURCE to reader',
    },
    {
      what: 'where the role may not create a schema',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /CREATE on (the )?database/,
      take: 'revoke create on database $SOURCE from reader',
      give: 'grant create on database $SOURCE to reader',
    },
    {
      what: 'where the role may not use the schema',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /USAGE on (its )?schema/,
      take: 'revoke usage on schema shop from reader',
      give: 'grant usage on schema shop to reader',
    },
    {
      what: 'where the role may not create triggers',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /: TRIGGER/,
      take: 'revoke trigger on shop.orders from reader',
      give: 'grant trigger on shop.orders to reader',
    },
    {
      what: 'where the role may not read the table',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /: SELECT/,
      take: 'revoke select on shop.orders from reader',
      give: 'grant select on shop.orders to reader',
    },
    {
      what: 'where the role may not read the cluster’s identity',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /pg_control_system/,
      take: 'revoke execute on function pg_control_system() from public',
      give: 'grant execute on function pg_control_system() to public',
    },
    {
      what: 'whose table is not there',
      side: 'source',
      code: 'BUC-TABLE-MISSING',
      says: /does not exist/,
      take: 'alter table shop.orders rename to orders_away',
      give: 'alter table shop.orders_away rename to orders',
    },
    {
      what: 'whose table has no key',
      side: 'source',
      code: 'BUC-TABLE-NO-KEY',
      says: /has no key/,
      take: 'alter table shop.orders drop constraint orders_pkey',
      give: 'alter table shop.orders add primary key (id)',
    },
  ])('$what', async (bad) => {
    const scene = await LimitedScene.create(server);
    await scene.atSource(bad.take);
    const before = await scene.fingerprint('source');

    await expectOneFinding(scene, bad);
    const outcome = await scene.apply();
    expect(outcome.error?.code).toBe(bad.code);
    expect(outcome.error?.message).toMatch(bad.says);
    expectPrivate(outcome);
    expect(await scene.fingerprint('source')).toEqual(before);

    await scene.atSource(bad.give);
    expect((await scene.apply()).error).toBeUndefined();
  });
});

describe('a lane’s relation waits, and only it, where', () => {
  test.each<BadRights>([
    {
      what: 'the role may no longer read the table at the source',
      side: 'source',
      code: 'BUC-DB-RIGHTS',
      says: /SELECT|permission denied for table orders/,
      take: 'revoke select on shop.orders from reader',
      give: 'grant select on shop.orders to reader',
    },
    {
      what: 'the role may not use the schema at the target',
      side: 'target',
      code: 'BUC-DB-RIGHTS',
      says: /schema shop/,
      take: 'revoke usage on schema shop from writer',
      give: 'grant usage on schema shop to writer',
    },
    ...['select', 'insert', 'update', 'delete'].map((right): BadRights => ({
      what: `the role may not ${right} at the target`,
      side: 'target',
      code: 'BUC-DB-RIGHTS',
      says: new RegExp(`: ${right.toUpperCase()} on|permission denied for table orders`),
      take: `revoke ${right} on shop.orders from writer`,
      give: `grant ${right} on shop.orders to writer`,
    })),
    {
      what: 'the table is missing at the target',
      side: 'target',
      code: 'BUC-TABLE-MISSING',
      says: /does not exist/,
      take: 'alter table shop.orders rename to orders_away',
      give: 'alter table shop.orders_away rename to orders',
    },
    {
      what: 'the target has no unique index on the key',
      side: 'target',
      code: 'BUC-TARGET-NO-UNIQUE',
      says: /\(id\)|no unique index/,
      take: 'alter table shop.orders drop constraint orders_pkey',
      give: 'alter table shop.orders add primary key (id)',
    },
    {
      what: 'a column is missing at the target',
      side: 'target',
      code: 'BUC-COLUMN-MISSING',
      says: /missing at the target/,
      take: 'alter table shop.orders rename column note to note_away',
      give: 'alter table shop.orders rename column note_away to note',
    },
    {
      what: 'the target wants a column that the source lacks',
      side: 'target',
      code: 'BUC-COLUMN-REQUIRED',
      says: /the source lacks/,
      take: `alter table shop.orders add extra int not null default 0; alter table shop.orders alter extra drop default`,
      give: 'alter table shop.orders drop column extra',
    },
  ])('$what', async (bad) => {
    const scene = await LimitedScene.create(server);
    await scene.replicateAndChange();
    const at = (sql: string) => (bad.side === 'source' ? scene.atSource(sql) : scene.atTarget(sql));
    await at(bad.take);
    const before = [await scene.fingerprint('source'), await scene.fingerprint('target')];

    await expectOneFinding(scene, bad);
    const outcome = await scene.run();
    expect(outcome.error).toBeUndefined();
    expect(outcome.held).toEqual([{ code: bad.code, detail: expect.stringMatching(bad.says) as string }]);
    expectPrivate(outcome);
    expect([await scene.fingerprint('source'), await scene.fingerprint('target')]).toEqual(before);

    await at(bad.give);
    await expectArrival(scene);
  });
});

test('a column that is too narrow is a warning; the row that does not fit is parked and the others arrive', async () => {
  const scene = await LimitedScene.create(server);
  await scene.replicateAndChange();
  await scene.atTarget('alter table shop.orders alter note type varchar(15)');
  await scene.atSource(`insert into shop.orders values (4, '${PRIVATE} too long')`);
  await expectOneFinding(scene, {
    what: 'a column too narrow',
    code: 'BUC-COLUMN-TYPE',
    says: /character varying\(15\) here, character varying\(20\) at east/,
    severity: 'warning',
  });

  const outcome = await scene.run();
  expect(outcome.error).toBeUndefined();
  expect(outcome.parked).toEqual([
    {
      code: 'BUC-ROW-REFUSED',
      sqlstate: '22001',
      detail: expect.stringContaining('value too long') as string,
    },
  ]);
  expectPrivate(outcome);
  const arrived = (await scene.rows('source')).filter((row) => !JSON.stringify(row).includes('too long'));
  expect(await scene.rows('target')).toEqual(arrived);

  await scene.atTarget('alter table shop.orders alter note type varchar(20)');
  await scene.atSource(`update shop.orders set note = note where id = 4`);
  await expectArrival(scene);
  expect((await scene.run()).parked).toEqual([]);
});

test('without the right to temporary tables at the target the lane waits as a whole', async () => {
  const scene = await LimitedScene.create(server);
  await scene.replicateAndChange();
  await scene.atSource(`insert into shop.orders select n, '${PRIVATE}' from generate_series(10, 15000) n`);
  await scene.atTarget('revoke temporary on database $TARGET from public');
  const bad: BadInput = { what: '', code: 'BUC-DB-RIGHTS', says: /temporary|TEMPORARY/ };
  const before = await scene.fingerprint('target');
  await expectOneFinding(scene, bad);
  const outcome = await scene.run();
  const found = outcome.error ?? outcome.held[0];
  expect(found?.code).toBe('BUC-DB-RIGHTS');
  expect(found?.detail).toMatch(bad.says);
  expectPrivate(outcome);
  expect(await scene.fingerprint('target')).toEqual(before);
  await scene.atTarget('grant temporary on database $TARGET to writer');
  await expectArrival(scene);
});

interface BadUrl extends BadInput {
  readonly url: (database: string) => string | Promise<string>;
}

const BAD_URLS: readonly BadUrl[] = [
  {
    what: 'a wrong password',
    code: 'BUC-DB-AUTH',
    says: /password authentication failed for user "locked"/,
    url: (database) => server.url(database, `locked:wrong-${PRIVATE}`),
  },
  {
    what: 'no password where one is wanted',
    code: 'BUC-DB-AUTH',
    says: /the server wants a password/,
    url: (database) => server.url(database, 'locked'),
  },
  {
    what: 'a login that pg_hba.conf does not let in',
    code: 'BUC-DB-AUTH',
    says: /pg_hba.conf rejects connection/,
    url: (database) => server.url(database, `banned:${PRIVATE}`),
  },
  {
    what: 'a role that is not there',
    code: 'BUC-DB-AUTH',
    says: /role "nobody_here" does not exist/,
    url: (database) => server.url(database, `nobody_here:${PRIVATE}`),
  },
  {
    what: 'a database that is not there',
    code: 'BUC-DB-AUTH',
    says: /database "not_there" does not exist/,
    url: () => server.url('not_there', `reader:${PRIVATE}`),
  },
  {
    what: 'a database that the role may not connect to',
    code: 'BUC-DB-RIGHTS',
    says: /permission denied for database "closed"/,
    url: () => server.url('closed', `writer:${PRIVATE}`),
  },
  {
    what: 'a closed port',
    code: 'BUC-DB-UNREACHABLE',
    says: /nothing listens at that host and port \(ECONNREFUSED\)/,
    url: async () => `postgres://writer:${PRIVATE}@127.0.0.1:${await freePort()}/shop`,
  },
  {
    what: 'a host name that does not resolve',
    code: 'BUC-DB-UNREACHABLE',
    says: /the host name (does not resolve|cannot be resolved now)/,
    url: () => `postgres://writer:${PRIVATE}@nowhere.invalid/shop`,
  },
  {
    what: 'a server that accepts and never answers',
    code: 'BUC-DB-UNREACHABLE',
    says: /did not answer in time/,
    url: () => `postgres://writer:${PRIVATE}@127.0.0.1:${silentPort}/shop`,
  },
  ...['require', 'verify-full'].map((mode): BadUrl => ({
    what: `sslmode=${mode} where the server offers no TLS`,
    code: 'BUC-DB-TLS',
    says: /does not support SSL/,
    url: (database) => `${server.url(database, `writer:${PRIVATE}`)}?sslmode=${mode}`,
  })),
  {
    what: 'a certificate file that is not there',
    code: 'BUC-DB-TLS',
    says: /certificate or key file that the URL names cannot be read/,
    url: (database) =>
      `${server.url(database, `writer:${PRIVATE}`)}?sslmode=verify-full&sslrootcert=/${PRIVATE}/ca.pem`,
  },
  {
    what: 'a URL that is none',
    code: 'BUC-DB-UNREACHABLE',
    says: /the URL cannot be read/,
    url: () => `postgres://writer:${PRIVATE}@127.0.0.1:port/shop`,
  },
];

// A server that never answers costs ten seconds at each connect.
describe('a target behind', { timeout: 120_000 }, () => {
  test.concurrent.each(BAD_URLS)('$what', async (bad) => {
    const scene = await LimitedScene.create(server);
    await scene.replicateAndChange();
    const before = [await scene.fingerprint('source'), await scene.fingerprint('target')];
    scene.setUrl('target', await bad.url(scene.target));

    await expectOneFinding(scene, bad);
    const outcome = await scene.run();
    expect(outcome.error?.code).toBe(bad.code);
    expect(outcome.error?.message).toMatch(bad.says);
    expect(outcome.error?.concern).toMatchObject({ sync: 'orders', database: 'reports' });
    expectPrivate(outcome);
    expect([await scene.fingerprint('source'), await scene.fingerprint('target')]).toEqual(before);

    scene.resetUrl('target');
    await expectArrival(scene);
  });
});

describe('a source behind', { timeout: 120_000 }, () => {
  test.concurrent.each(BAD_URLS)('$what', async (bad) => {
    const scene = await LimitedScene.create(server);
    const before = await scene.fingerprint('source');
    scene.setUrl('source', await bad.url(scene.source));

    await expectOneFinding(scene, bad);
    for (const outcome of [await scene.apply(), await scene.run()]) {
      expect(outcome.error?.code).toBe(bad.code);
      expect(outcome.error?.message).toMatch(bad.says);
      expect(outcome.error?.concern).toMatchObject({ database: 'east' });
      expectPrivate(outcome);
    }
    expect(await scene.fingerprint('source')).toEqual(before);
    scene.resetUrl('source');
    expect((await scene.apply()).error).toBeUndefined();
  });
});

test('a lane of a source that nobody has applied says so', async () => {
  const scene = await LimitedScene.create(server);
  const outcome = await scene.run();
  expect(outcome.error?.code).toBe('BUC-NOT-APPLIED');
  expect(outcome.error?.remedy).toContain('bucardo apply');
});
