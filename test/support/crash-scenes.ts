/**
 * Lanes for crash tests, each with work that can be given again any number of times and takes a run through everything it
 * can do: large and small batches, cuts, refused rows; copies in several chunks onto filled tables.
 */
import { expect } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture, type LaneFixture } from './lane-fixture.ts';

export interface CrashScene {
  readonly lane: LaneFixture;
  /** Gives the next run something to do, of the same kind at each round. */
  prepare(round: number): Promise<void>;
  /** After a complete run: the outcome is what it should be. */
  verify(): Promise<void>;
}

const TABLES = `
  create table parent (id int primary key, code text unique, note text) with (autovacuum_enabled = false);
  create table child (key text primary key, parent int not null references parent, amount int)
    with (autovacuum_enabled = false);
  create table big (id bigint primary key, filler text) with (fillfactor = 10, autovacuum_enabled = false)`;

function rows(bigRows: number): string {
  return `
    insert into parent select n, 'code ' || n, repeat('x', 10) from generate_series(1, 40) n;
    insert into child select 'key ' || n, 1 + n % 40, n from generate_series(1, 60) n;
    insert into big select n, repeat('x', 100) from generate_series(1, ${bigRows}) n`;
}

/** A batch by COPY, another by arrays, a cut between them, and a row that the target refuses at every other round. */
export async function changesScene(): Promise<CrashScene> {
  const filled = `${TABLES}; ${rows(1200)}`;
  const lane = await createLaneFixture({
    schema: {
      source: filled,
      target: `${filled}; alter table child add constraint modest check (amount < 1000)`,
    },
    batchRows: 1100,
  });
  let refused = false;
  return {
    lane,
    async prepare(round) {
      refused = round % 2 === 1;
      await lane.source.script(`update big set filler = 'round ${round}' where id <= 1100`);
      await lane.source.script(`
        begin;
        update parent set note = 'round ${round}' where id = 1;
        delete from child where amount = 8;
        insert into child values ('again ${round}', 3, 8);
        update child set amount = ${refused ? 1000 : 5} where key = 'key 5';
        update big set filler = 'tail ${round}' where id > 1198;
        commit`);
    },
    async verify() {
      const rejected = await lane.rejected();
      expect(rejected.map(({ relation, key }) => [relation, key])).toEqual(
        refused ? [['public.child', ['key 5']]] : [],
      );
      await expectNothingLost(lane);
      expect(await waiting(lane)).toBe(0);
    },
  };
}

/** Everything is copied anew onto filled tables, the big one in several chunks, and changes arrive meanwhile. */
export async function copyScene(): Promise<CrashScene> {
  const filled = `${TABLES}; ${rows(350)}`;
  const lane = await createLaneFixture({ schema: filled });
  await lane.source.script(smallChunks('big'));
  return {
    lane,
    async prepare(round) {
      await requestCopy(lane.source, { sync: lane.sync.name });
      await lane.source.script(`
        begin;
        update parent set note = 'round ${round}' where id <= 5;
        update child set key = 'moved ${round}' where amount = 7;
        update big set id = id + ${round % 2 === 0 ? 1000 : -1000} where id in (${round % 2 === 0 ? '7, 260' : '1007, 1260'});
        update big set filler = 'round ${round}' where id between 90 and 110;
        commit`);
    },
    async verify() {
      expect(await lane.source.rows('select from bucardo.copy')).toEqual([]);
      expect(await lane.rejected()).toEqual([]);
      await expectNothingLost(lane);
      expect(await waiting(lane)).toBe(0);
    },
  };
}

/** One transaction that is too large for the lane and so arrives in parts, in every table. */
export async function largeScene(): Promise<CrashScene> {
  const filled = `${TABLES}; ${rows(300)}`;
  const lane = await createLaneFixture({ schema: filled, batchRows: 150 });
  return {
    lane,
    async prepare(round) {
      await lane.source.script(`
        update bucardo.lane_status set deltas_per_second = 1, begun_deltas = null;
        begin;
        update parent set note = 'round ${round}';
        update child set amount = amount + 1;
        delete from child where key like 'again %';
        insert into child select 'again ' || n, 3, n from generate_series(1, 60) n;
        update big set id = id + ${round % 2 === 1 ? 1000 : -1000} where id % 1000 between 7 and 60;
        update big set filler = 'round ${round}' where id % 2 = 0;
        commit`);
    },
    async verify() {
      expect(await lane.source.rows('select from bucardo.large_transaction')).toEqual([]);
      expect(await lane.rejected()).toEqual([]);
      await expectNothingLost(lane);
      expect(await waiting(lane)).toBe(0);
    },
  };
}

/**
 * Whether a place is worth a run of its own: every one the first time, and where something is committed or recorded also
 * later times. `BUCARDO_CRASH_ALL=1`: every one, every time.
 */
export function isWorthTrying(label: string, time: number): boolean {
  if (process.env['BUCARDO_CRASH_ALL'] === '1') return true;
  return time === 1 || (time === 2 && /commit|bucardo\.(progress|copy|large_transaction)/.test(label));
}

/** Deltas that the mark does not cover. */
async function waiting({ source }: LaneFixture): Promise<number> {
  let count = 0;
  for (const { name } of await source.rows<{ name: string }>(
    'select delta_name as name from bucardo.relation',
  )) {
    const { deltas } = await source.row<{ deltas: number }>(
      `select count(*)::int as deltas from bucardo."${name}", bucardo.progress
       where not txid_visible_in_snapshot(txid, mark)`,
    );
    count += deltas;
  }
  return count;
}

/**
 * Makes a copy of the table go in chunks of 100 rows: its statistics claim a single row of all its bytes. It must have
 * 700 kB and no autovacuum.
 */
export function smallChunks(table: string): string {
  return `update pg_catalog.pg_class set reltuples = 1, relpages = pg_relation_size(oid) / 8192 where oid = '${table}'::regclass`;
}

/**
 * After a run that died: what the lane's mark and copies say has arrived is at the target, row by row. Keys that are
 * still pending, parked or not copied yet are left out. For tables with one key column.
 */
export async function expectNothingLost(lane: LaneFixture): Promise<void> {
  const relations = await lane.source.rows<{
    table: string;
    key: string;
    waiting: string[];
    wanted: boolean;
    range: string;
  }>(
    `select r.table_name as table, r.key_columns[1] as key, c.state is not distinct from 'wanted' as wanted,
       case when c.state = 'copying' then coalesce(format('%I <= %L', r.key_columns[1], c.done_to[1]), 'false') else 'true' end as range,
       array(
         select key from (
           select j.key[1] as key from bucardo.rejected_row j where j.table_name = r.table_name
           union
           select unnest(xpath('//key/text()', query_to_xml(format(
             'select distinct %I::text as key from bucardo.%I where not txid_visible_in_snapshot(txid, %L)',
             r.key_columns[1], r.delta_name, p.mark), false, false, '')))::text
         ) waiting
       ) as waiting
     from bucardo.relation r
     cross join bucardo.progress p
     left join bucardo.copy c on c.table_name = r.table_name`,
  );
  for (const { table, key, waiting, wanted, range } of relations) {
    if (wanted) continue;
    const arrived = `select t::text as row from public.${table} t where ${range} and ${key}::text <> all($1) order by ${key}`;
    const there = await lane.target.rows(arrived, [waiting]);
    expect(there, `${table} where ${range}`).toEqual(await lane.source.rows(arrived, [waiting]));
  }
}
