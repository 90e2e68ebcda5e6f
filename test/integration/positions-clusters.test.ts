/** Positions in clusters that are not as usual: ids beyond 32 bits, and a source that was restored into another cluster. */
import { execFileSync } from 'node:child_process';
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { isRoot } from '../../shared/local/postgres-binaries.ts';
import { type PostgresServer, startPostgres } from '../../shared/local/postgres-server.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { quoteIdentifier, quoteRelation, type RelationName } from '../../shared/postgres/identifiers.ts';
import { ConnectionCache } from '../../shared/replicate/connection-cache.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { runLane } from '../../shared/replicate/run-lane.ts';
import { applySource, sourceDatabase } from '../support/captured-source.ts';
import { debianPostgres, skipWithoutDebianPostgres } from '../support/debian-postgres.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';

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

/** Ours and the application's tables, sequences with them. */
const DUMPED = `
  select n.nspname as schema, c.relname as table, c.relkind = 'S' as sequence
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'bucardo') and c.relkind in ('r', 'S')`;

interface Dump {
  readonly tables: readonly (RelationName & { readonly bytes: Buffer })[];
  readonly sequences: readonly (RelationName & { readonly value: string; readonly called: boolean })[];
}

/** All data in one snapshot, as pg_dump has it. */
async function dump(db: Connection): Promise<Dump> {
  return await db.transaction('repeatable read read only', async () => {
    const tables: Dump['tables'][number][] = [];
    const sequences: Dump['sequences'][number][] = [];
    for (const relation of await db.rows<RelationName & { sequence: boolean }>(DUMPED)) {
      if (relation.sequence) {
        sequences.push({
          ...relation,
          ...(await db.row<{ value: string; called: boolean }>(
            `select last_value::text as value, is_called as called from ${quoteRelation(relation)}`,
          )),
        });
        continue;
      }
      const chunks: Buffer[] = [];
      for await (const chunk of db.copyOut(`copy ${quoteRelation(relation)} to stdout`))
        chunks.push(chunk as Buffer);
      tables.push({ ...relation, bytes: Buffer.concat(chunks) });
    }
    return { tables, sequences };
  });
}

/** Into a database that has the same objects, capture included. */
async function restore(db: Connection, { tables, sequences }: Dump): Promise<void> {
  const { Readable } = await import('node:stream');
  await db.script('set session_replication_role = replica');
  for (const table of tables) await db.script(`delete from ${quoteRelation(table)}`);
  for (const table of tables)
    await db.copyIn(`copy ${quoteRelation(table)} from stdin`, Readable.from([table.bytes]));
  for (const { schema, table, value, called } of sequences) {
    await db.run(`select setval($1::regclass, $2::bigint, $3)`, [
      `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`,
      value,
      called,
    ]);
  }
}

async function runFrom(lane: LaneFixture, sourceUrl: string): Promise<void> {
  const connections = new ConnectionCache();
  await runLane(lane.lane, {
    fleet: lane.fleet,
    resolveUrl: async ({ name }) => (name === SOURCE ? sourceUrl : lane.targetUrl()),
    log: lane.log,
    deadlineMs: Date.now() + 60_000,
    connections,
  });
  await connections.close();
}

test('a source that was restored from a dump into another cluster loses no change and asks for copies', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await using server = await startPostgres({ major: inject('serverMajor') });
  // Far ahead of the new cluster: its marks would hide everything for long.
  for (let n = 0; n < 50; n += 1) await lane.source.script('select txid_current()');
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  await lane.source.script(
    `update item set note = 'waiting at the dump' where id = 2; delete from item where id = 3`,
  );
  const dumped = await dump(lane.source);
  await lane.source.script(`insert into item values (100, 'after the dump')`);
  await lane.run();

  const url = server.url();
  const session = (body: (db: Connection) => Promise<void>): Promise<void> =>
    withConnection({ database: SOURCE, url, purpose: 'test' }, body);
  await session((db) => db.script(`set search_path to public; ${TABLES}`));
  await applySource(url, [lane.sync], sourceDatabase('poll', SOURCE));
  await session((db) => restore(db, dumped));
  await session((db) =>
    db.script(
      `insert into public.item values (101, 'in the new cluster'); update public.item set note = 'new' where id = 4`,
    ),
  );

  await runFrom(lane, url);
  expect(lane.events.map(({ event }) => event)).toContain('lane.source.restored');
  expect(await lane.target.rows(`select id, note from item where note <> 'start' order by id`)).toEqual([
    { id: 1, note: 'before' },
    { id: 2, note: 'waiting at the dump' },
    { id: 4, note: 'new' },
    { id: 100, note: 'after the dump' },
    { id: 101, note: 'in the new cluster' },
  ]);
  expect(await lane.target.rows('select from item where id = 3')).toEqual([]);
  await session(async (db) => {
    const needed = await db.rows(`select table_name as table, reason from bucardo.copy_needed order by 1`);
    expect(needed).toEqual([
      { table: 'item', reason: 'restored' },
      { table: 'other', reason: 'restored' },
    ]);
    await requestCopy(db, { sync: lane.sync.name });
  });
  await runFrom(lane, url);
  await session(async (db) => {
    const all = 'select * from public.item order by id';
    expect(await lane.target.rows(all)).toEqual(await db.rows(all));
    expect(await db.rows('select from bucardo.copy_needed')).toEqual([]);
  });
});
