/** A source that goes back in time and is the same database of the same cluster: a snapshot of its files, a standby that lacked something. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLES = `
  create table item (id int primary key, note text);
  insert into item select n, 'start' from generate_series(1, 20) n`;

const NEEDED = `select table_name as table, reason from bucardo.copy_needed`;

async function sourceServer(): Promise<PostgresServer> {
  const server = await startPostgres({ major: inject('serverMajor') });
  onTestFinished(() => server.destroy());
  return server;
}

function copyFolder(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  execFileSync('cp', ['-a', from, to]);
}

/** A snapshot of the server's files, put back after `meanwhile`. */
async function putSnapshotBack(
  lane: LaneFixture,
  server: PostgresServer,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const snapshot = `${server.data}-snapshot`;
  await lane.away(async () => {
    await server.stop();
    copyFolder(server.data, snapshot);
    await server.start();
  });
  await meanwhile();
  await lane.away(async () => {
    await server.stop();
    copyFolder(snapshot, server.data);
    await server.start();
  });
}

test('a snapshot of the source’s files that is put back asks for copies if the target has got more', async () => {
  const server = await sourceServer();
  const lane = await createLaneFixture({ schema: TABLES, sourceServer: server });
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  await putSnapshotBack(lane, server, async () => {
    await lane.source.script(`update item set note = 'lost' where id = 2`);
    await lane.run();
  });
  // As many transactions as were lost: ids are used again.
  for (let id = 3; id < 20; id += 1)
    await lane.source.script(`update item set note = 'new' where id = ${id}`);
  await lane.run();
  expect(await lane.source.rows(NEEDED)).toEqual([{ table: 'item', reason: 'restored' }]);
  expect(await lane.target.rows(`select from item where note = 'new'`)).toHaveLength(17);
  await requestCopy(lane.source, { sync: lane.sync.name });
  await lane.run();
  await lane.expectEqual();
  await lane.source.script(`update item set note = 'after' where id = 1`);
  await lane.run();
  await lane.expectEqual();
  expect(await lane.source.rows(NEEDED)).toEqual([]);
  expect(lane.events.filter(({ event }) => event === 'lane.source.restored')).toHaveLength(1);
  await lane.close();
});

test('a snapshot that is put back is no loss if the target has got nothing since', async () => {
  const server = await sourceServer();
  const lane = await createLaneFixture({ schema: TABLES, sourceServer: server });
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  await putSnapshotBack(lane, server, async () => {
    await lane.source.script(`update item set note = 'never delivered' where id = 2`);
  });
  await lane.source.script(`update item set note = 'new' where id = 3`);
  await lane.run();
  await lane.expectEqual();
  expect(await lane.source.rows(NEEDED)).toEqual([]);
  expect(lane.events.filter(({ level }) => level !== 'info')).toEqual([]);
  await lane.close();
});

/** A standby of the lane's source, which is stopped for a moment; in step with it when it is returned. */
async function standbyOf(lane: LaneFixture, primary: PostgresServer): Promise<PostgresServer> {
  let standby: PostgresServer | undefined;
  await lane.away(async () => {
    await primary.stop();
    standby = await startPostgres({
      major: primary.major,
      prepare: ({ data }) => {
        copyFolder(primary.data, data);
        execFileSync('rm', ['-f', join(data, 'postmaster.pid')]);
        writeFileSync(join(data, 'standby.signal'), '');
        execFileSync('chmod', ['644', join(data, 'standby.signal')]);
      },
      settings: { primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres` },
    });
    await primary.start();
  });
  const server = standby;
  if (server === undefined) throw new Error('no standby');
  onTestFinished(() => server.destroy());
  await catchUp(primary, server);
  return server;
}

async function catchUp(primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const ask = async (server: PostgresServer, sql: string): Promise<boolean> =>
    await withConnection({ database: 'test', url: server.url(), purpose: 'test' }, async (db) => {
      const { answer } = await db.row<{ answer: boolean }>(`select ${sql} as answer`);
      return answer;
    });
  const { lsn } = await withConnection({ database: 'test', url: primary.url(), purpose: 'test' }, (db) =>
    db.row<{ lsn: string }>(`select pg_current_wal_lsn()::text as lsn`),
  );
  await waitFor(() => ask(standby, `coalesce(pg_last_wal_replay_lsn() >= '${lsn}', false)`), 30_000);
}

async function promote(standby: PostgresServer): Promise<void> {
  await withConnection({ database: 'test', url: standby.url(), purpose: 'test' }, async (db) => {
    await db.rows('select pg_promote()');
    await waitFor(
      async () => !(await db.row<{ standby: boolean }>('select pg_is_in_recovery() as standby')).standby,
    );
  });
}

async function runFrom(lane: LaneFixture, server: PostgresServer): Promise<string> {
  const url = new URL(server.url());
  url.pathname = new URL(lane.sourceUrl).pathname;
  const connections = new ConnectionCache();
  await runLane(lane.lane, {
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => (name === SOURCE ? url.href : lane.targetUrl()),
    log: lane.log,
    deadlineMs: Date.now() + 60_000,
    connections,
  });
  await connections.close();
  return url.href;
}

for (const lost of [false, true]) {
  test(`a standby that ${lost ? 'lacked what had been delivered asks for copies' : 'had everything is promoted without any loss'}`, async () => {
    const primary = await sourceServer();
    const lane = await createLaneFixture({ schema: TABLES, sourceServer: primary });
    await lane.source.script(`update item set note = 'before' where id = 1`);
    await lane.run();
    const standby = await standbyOf(lane, primary);
    if (lost) await standby.stop();
    await lane.source.script(`update item set note = 'last' where id = 2`);
    await lane.run();
    if (!lost) await catchUp(primary, standby);
    await lane.away(async () => {
      await primary.stop();
      if (lost) await standby.start();
      await promote(standby);
      const url = await runFrom(lane, standby);
      await withConnection({ database: SOURCE, url, purpose: 'test' }, async (db) => {
        expect(await db.rows(NEEDED)).toEqual(lost ? [{ table: 'item', reason: 'restored' }] : []);
        const rows = `select * from public.item order by id`;
        const same = JSON.stringify(await db.rows(rows)) === JSON.stringify(await lanesRows(lane));
        expect(same).toBe(!lost);
        if (!lost) return;
        await requestCopy(db, { sync: lane.sync.name });
        await runFrom(lane, standby);
        expect(await lanesRows(lane)).toEqual(await db.rows(rows));
      });
      await primary.start();
    });
    await lane.close();
  });
}

async function lanesRows(lane: LaneFixture): Promise<readonly object[]> {
  return await withConnection({ database: 'test', url: lane.targetUrl(), purpose: 'test' }, (db) =>
    db.rows('select * from public.item order by id'),
  );
}
