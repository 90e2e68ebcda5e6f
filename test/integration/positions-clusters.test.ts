/** Positions in a cluster whose transaction ids are beyond 32 bits. */
import { execFileSync } from 'node:child_process';
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isRoot } from '../../shared/local/postgres-binaries.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { debianPostgres, skipWithoutDebianPostgres } from '../support/debian-postgres.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';

const TABLES = `
  create table item (id int primary key, note text);
  create table other (id int primary key);
  insert into item select n, 'start' from generate_series(1, 20) n`;

const EPOCH = 5;
/** The last ids before the 32-bit counter begins anew, after which the epoch is the next. */
const LEFT_IN_EPOCH = 400;

/**
 * Moves a server's next transaction id to a late epoch, shortly before its end. Rows that are there must be frozen: their
 * ids would lie in the future.
 */
async function moveLateInEpoch(server: PostgresServer): Promise<void> {
  const session = { database: 'test', purpose: 'test setup' };
  await withConnection({ ...session, url: server.url() }, (db) =>
    db.script('update pg_database set datallowconn = true'),
  );
  for (const name of ['template0', 'template1', 'postgres'])
    await withConnection({ ...session, url: server.url(name) }, (db) => db.script('vacuum (freeze)'));
  await server.stop();
  const next = 2 ** 32 - LEFT_IN_EPOCH;
  const { data } = server;
  const { uid, gid } = statSync(data);
  execFileSync(
    join(debianPostgres().bin, 'pg_resetwal'),
    ['-e', String(EPOCH), '-x', String(next), '-D', data],
    {
      cwd: data,
      ...(isRoot() ? { uid, gid } : {}),
    },
  );
  // Where the server looks for the states of these ids: segments of 2^20 ids, two bits each.
  const number = Math.floor(next / 2 ** 20);
  const segment = join(data, 'pg_xact', number.toString(16).toUpperCase().padStart(4, '0'));
  writeFileSync(segment, Buffer.alloc(2 ** 18));
  chownSync(segment, uid, gid);
  await server.start();
}

test.skipIf(skipWithoutDebianPostgres('transaction ids beyond 32 bits'))(
  'changes arrive when transaction ids are beyond 32 bits and cross into the next epoch',
  async () => {
    await using server = await startPostgres({ ...debianPostgres(), settings: { autovacuum: 'off' } });
    await moveLateInEpoch(server);
    const lane = await createLaneFixture({ schema: TABLES, sourceServer: server, batchRows: 3 });
    onTestFinished(() => lane.close());
    const txid = async (): Promise<bigint> => {
      const { now } = await lane.source.row<{ now: string }>('select txid_current()::text as now');
      return BigInt(now);
    };
    expect((await txid()) / 2n ** 32n).toBe(BigInt(EPOCH));
    const open = await lane.session(lane.sourceUrl);
    await open.script(`begin; update item set note = 'of the last epoch' where id = 1`);
    while ((await txid()) / 2n ** 32n === BigInt(EPOCH)) {
      await lane.source.script(`update item set note = clock_timestamp()::text where id between 2 and 8`);
      for (let n = 0; n < 20; n += 1) await txid();
      await lane.run();
    }
    await lane.source.script(`update item set note = 'of the new epoch' where id > 8`);
    await lane.run();
    expect(await lane.target.rows(`select from item where note = 'of the new epoch'`)).toHaveLength(12);
    await open.script('commit');
    await lane.run();
    expect(await lane.run()).toMatchObject({ rows: 0, more: false });
    await lane.expectEqual();
    expect(lane.events.filter(({ level }) => level !== 'info')).toEqual([]);
    await lane.close();
  },
);
