/**
 * First copies while applications write, by processes that are killed at random places and started again. Keys of every
 * kind move across the boundary between what is copied and what is not.
 */
import { expect, onTestFinished, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import { asBucardoError } from '../../shared/errors/bucardo-error.ts';
import { smallChunks } from '../support/crash-scenes.ts';
import { createLaneFixture, type LaneFixture, SOURCE } from '../support/lane-fixture.ts';
import { LaneProcess } from '../support/lane-process.ts';
import { type Asked, type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts';
import { type Random, randomFrom } from '../support/random.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const KILLS = Number(process.env['BUCARDO_COPY_KILLS'] ?? 8);
const ROWS = 600;

const OPTIONS = 'with (fillfactor = 10, autovacuum_enabled = false)';
const TABLES = `
  create extension citext;
  create table parent (id int primary key, code text unique, filler text) ${OPTIONS};
  create table child (key text primary key, parent int not null references parent on delete cascade, filler text) ${OPTIONS};
  create table pair (a int, b text, n int, filler text, primary key (b, a)) ${OPTIONS};
  create table thing (id uuid primary key, n int, filler text) ${OPTIONS};
  create table word (word citext primary key, n int, filler text) ${OPTIONS}`;

const FILLED = `
  insert into parent select n * 10, 'code ' || n, repeat('x', 100) from generate_series(1, ${ROWS}) n;
  insert into child select md5(n::text), 10 * n, repeat('x', 100) from generate_series(1, ${ROWS}) n;
  insert into pair select n % 7, 'Ä ' || n, n, repeat('x', 100) from generate_series(1, ${ROWS}) n;
  insert into thing select md5(n::text)::uuid, n, repeat('x', 100) from generate_series(1, ${ROWS}) n;
  insert into word select case when n % 2 = 0 then 'Word ' else 'word ' end || md5(n::text), n, repeat('x', 100)
    from generate_series(1, ${ROWS}) n`;

const COUNTED = `
  select ((select count(*) from parent) + (select count(*) from child) + (select count(*) from pair)
    + (select count(*) from thing) + (select count(*) from word))::int as rows`;

/** One small transaction of an application. Some fail, as applications' do. */
function change(random: Random): string {
  const n = 1 + random.below(ROWS);
  const other = 1 + random.below(ROWS * 20);
  return random.pick([
    `update parent set code = 'code ' || ${other} where id = ${n * 10}`,
    `update parent set filler = 'new ${other}' where id between ${n * 10} and ${n * 10 + 200}`,
    `delete from parent where id = ${n * 10}`,
    `insert into parent values (${other}, 'code ' || ${other}, 'inserted') on conflict do nothing`,
    `begin; update child set key = md5('${other}') where key = md5('${n}'); commit`,
    `insert into child select md5('${other}'), min(id), 'inserted' from parent on conflict do nothing`,
    `delete from child where key = md5('${n}')`,
    `update pair set b = 'Ä ' || ${other} where b = 'Ä ' || ${n}`,
    `update pair set a = a + 1, n = ${other} where n between ${n} and ${n + 5}`,
    `delete from pair where n = ${n}`,
    `update thing set id = md5('${other}')::uuid where id = md5('${n}')::uuid`,
    `begin; delete from thing where n = ${n}; insert into thing values (md5('${other}')::uuid, ${n}, 'again'); commit`,
    `update word set word = 'word ' || md5('${other}') where word = 'WORD ' || md5('${n}')`,
    `update word set word = upper(word::text) where n = ${n}`,
    `delete from word where n = ${n}`,
    `begin; delete from pair; delete from word; rollback`,
  ]);
}

/** Writes until told to stop; returns how many transactions were committed. */
function startWriting(lane: LaneFixture, seed: number): { stop(): Promise<number> } {
  const random = randomFrom(seed);
  const stopping = new AbortController();
  const writing = (async () => {
    const session = await lane.session(lane.sourceUrl);
    let committed = 0;
    while (!stopping.signal.aborted) {
      try {
        await session.script(change(random));
        committed += 1;
      } catch (error) {
        if (!['23505', '23503', '40P01'].includes(asBucardoError(error).sqlstate ?? '')) throw error;
        await session.script('rollback');
      }
    }
    return committed;
  })();
  return {
    async stop() {
      stopping.abort();
      return await writing;
    },
  };
}

const RANGE = /^copy \(select .* from only "public"."(\w+)" t ?(where .*)?\) to stdout \(format \w+\)$/s;

/** Fails if a chunk is read that does not begin exactly where the record says that the copy has come. */
async function expectAtRecordedPlace(lane: LaneFixture, { sql }: Asked): Promise<boolean> {
  const [, table, where = ''] = RANGE.exec(sql) ?? [];
  if (table === undefined || sql.includes('bucardo.')) return false;
  const { done } = await lane.source.row<{ done: string[] | null }>(
    `select done_to as done from bucardo.copy where table_name = $1 and destination = 'reports'`,
    [table],
  );
  // The lower bound comes first; without one there is only the upper.
  if (done === null) expect(where).toMatch(/^$|^where not |^where \([^)]*\) <= /);
  else expect(where).toContain(`'${done[0]}'`);
  return true;
}

async function killOnce(
  lane: LaneFixture,
  proxy: PostgresProxy,
  at: number,
): Promise<{ killed: boolean; chunks: number }> {
  const child = new LaneProcess({
    sync: lane.sync,
    destination: 'reports',
    urls: { [SOURCE]: proxy.url(SOURCE), reports: proxy.url('reports') },
  });
  onTestFinished(async () => void (await child.kill()));
  proxy.forget();
  let chunks = 0;
  let wrong: unknown;
  proxy.decide = async (asked) => {
    try {
      if (await expectAtRecordedPlace(lane, asked)) chunks += 1;
    } catch (error) {
      wrong = error;
    }
    if (asked.number < at) return 'pass';
    await child.kill();
    return 'cut before';
  };
  await child.go();
  const { killed, exitCode, output } = await child.ended();
  if (wrong !== undefined) throw wrong;
  if (!killed) expect(exitCode, output).toBe(0);
  return { killed, chunks };
}

test(`a copy under load, killed at random places, ends equal and repeats no recorded chunk (SEED=${SEED})`, async () => {
  const random = randomFrom(SEED);
  const lane = await createLaneFixture({
    schema: { source: `${TABLES}; ${FILLED}`, target: TABLES },
    targets: 2,
    copy: 'if-empty',
    batchRows: 50,
  });
  for (const { table } of await lane.source.rows<{ table: string }>(
    'select table_name as table from bucardo.relation',
  ))
    await lane.source.script(smallChunks(`public.${table}`));
  const proxy = await startPostgresProxy({ [SOURCE]: lane.sourceUrl, reports: lane.targetUrl() });
  onTestFinished(() => proxy.close());

  const writers = [startWriting(lane, SEED + 1), startWriting(lane, SEED + 2)];
  let chunks = 0;
  let seenWhileFilling = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const run = await killOnce(lane, proxy, 60 + random.below(140));
    chunks += run.chunks;
    seenWhileFilling = Math.max(seenWhileFilling, (await lane.target.row<{ rows: number }>(COUNTED)).rows);
    if (!run.killed) break;
  }
  const committed = await Promise.all(writers.map((writer) => writer.stop()));
  chunks += (await killOnce(lane, proxy, Number.POSITIVE_INFINITY)).chunks;
  expect(Math.min(...committed)).toBeGreaterThan(20);
  expect(chunks).toBeGreaterThan(20);
  expect(seenWhileFilling).toBeGreaterThan(0);
  await lane.run();
  expect(await lane.rejected()).toEqual([]);
  await lane.expectEqual();

  // The other target's lane has not run yet: it is copied now, of what has become of the rows.
  const [, later] = lane.lanes;
  const writer = startWriting(lane, SEED + 3);
  const copying = lane.run(later);
  // On a slow machine the lane may never be level while somebody writes; its copy ends all the same.
  await waitFor(
    async () => (await lane.source.rows('select from bucardo.copy')).length === 0,
    60_000,
    'the copy',
  );
  await writer.stop();
  await copying;
  expect(await lane.run(later)).toMatchObject({ more: false });
  expect(await lane.rejected(later)).toEqual([]);
  await lane.expectEqual(undefined, 'reports_2');
  expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
}, 120_000);
