/** A target that goes back in time, or is replaced by another database, and what becomes of the changes that it had. */
import { describe, expect, inject, test } from 'vitest';
import { purge } from '../../shared/capture/purge.ts';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { startPostgres } from '../../shared/local/postgres-server.ts';
import { kickAndWait } from '../../shared/status/kick-and-wait.ts';
import { silentLog } from '../../shared/telemetry/log.ts';
import { withSource } from '../support/captured-source.ts';
import { smallChunks } from '../support/crash-scenes.ts';
import { createLaneFixture, createLaneTable, type LaneFixture } from '../support/lane-fixture.ts';
import { keepCopy, putCopyBack } from '../support/other-copy.ts';

const TABLES = `
  create table item (id int primary key, note text);
  create table other (id int primary key, note text);
  insert into item select n, 'start' from generate_series(1, 20) n;
  insert into other select n, 'start' from generate_series(1, 20) n`;

async function needed(lane: LaneFixture): Promise<readonly object[]> {
  return await lane.source.rows(
    `select table_name as table, reason from bucardo.copy_needed where destination = 'reports' order by 1`,
  );
}

function restoredEvents(lane: LaneFixture): readonly object[] {
  return lane.events.filter(({ event }) => event === 'lane.target.restored').map(({ fields }) => fields);
}

/** Deletes what every lane has; the retention is over. */
async function purgeNow(lane: LaneFixture): Promise<void> {
  for (let time = 0; time < 2; time += 1) {
    await withSource(lane.sourceUrl, (db) => purge(db, { retentionSeconds: 0, log: silentLog }));
  }
}

async function keepTarget(lane: LaneFixture): Promise<void> {
  await lane.away(() => keepCopy(lane.targetUrl()));
}

async function restoreTarget(lane: LaneFixture): Promise<void> {
  await lane.away(() => putCopyBack(lane.targetUrl()));
}

/** Whether the lane is done, or why not. */
async function outcomeOf(lane: LaneFixture): Promise<unknown> {
  const [outcome] = await kickAndWait(lane.source, {
    sync: lane.sync,
    lanes: [lane.lane],
    send: () => lane.run(),
    timeoutSeconds: 30,
  });
  return outcome?.error?.code ?? outcome?.done;
}

describe.each([undefined, 'writer'] as const)('a target that was restored (role: %s)', (targetRole) => {
  test('gets everything since by itself while the deltas are there', async () => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole });
    await lane.source.script(`update item set note = 'before' where id = 1`);
    await lane.run();
    await keepTarget(lane);
    for (const note of ['first', 'second']) {
      await lane.source.script(`
        update item set note = '${note}' where id < 5;
        delete from other where note = 'start' and id = ${note.length};
        insert into other values (${100 + note.length}, '${note}')`);
      await lane.run();
    }
    await lane.expectEqual();
    await restoreTarget(lane);

    await lane.run();
    await lane.expectEqual();
    expect(restoredEvents(lane)).toMatchObject([{ copiesNeeded: 0 }]);
    expect(await needed(lane)).toEqual([]);
    await lane.source.script(`update item set note = 'last' where id = 20`);
    await lane.run();
    await lane.expectEqual();
    expect(restoredEvents(lane)).toHaveLength(1);
  });

  test('asks for copies of the tables whose deltas since then are purged, and of no others', async () => {
    // Transactions of other databases in the same cluster would leave it open what was purged.
    await using sourceServer = await startPostgres({
      major: inject('serverMajor'),
      settings: { autovacuum: 'off' },
    });
    const lane = await createLaneFixture({ schema: TABLES, targetRole, sourceServer });
    await lane.source.script(
      `update item set note = 'before' where id = 1; update other set note = 'before'`,
    );
    await lane.run();
    await keepTarget(lane);
    await lane.source.script(`update item set note = 'purged' where id = 2`);
    await lane.run();
    await purgeNow(lane);
    await lane.source.script(
      `update item set note = 'still there' where id = 3; delete from other where id = 4`,
    );
    await lane.run();
    await restoreTarget(lane);

    expect(await outcomeOf(lane)).toBe('BUC-LANE-NOT-DONE');
    expect(await needed(lane)).toEqual([{ table: 'item', reason: 'target restored' }]);
    await lane.expectEqual(['public.other']);
    expect(await lane.target.rows(`select id, note from item where id in (2, 3) order by id`)).toEqual([
      { id: 2, note: 'start' },
      { id: 3, note: 'still there' },
    ]);
    await requestCopy(lane.source, { sync: lane.sync.name });
    expect(await outcomeOf(lane)).toBe(true);
    await lane.expectEqual();
    expect(await needed(lane)).toEqual([]);
    await lane.close();
  });

  test('that is an empty database now is not taken for level', async () => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole });
    await keepTarget(lane);
    await lane.source.script(`update item set note = 'before' where id = 1`);
    await lane.run();
    await lane.run();
    await restoreTarget(lane);
    await lane.target.script(`delete from bucardo.lane`);

    expect(await outcomeOf(lane)).toBe('BUC-LANE-NOT-DONE');
    expect(await needed(lane)).toEqual([
      { table: 'item', reason: 'target restored' },
      { table: 'other', reason: 'target restored' },
    ]);
    await requestCopy(lane.source, { sync: lane.sync.name });
    expect(await outcomeOf(lane)).toBe(true);
    await lane.expectEqual();
    expect(restoredEvents(lane)).toHaveLength(1);
  });
});

test('a target without the table of lanes’ rows, which it had, needs copies once and is then replicated to as before', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  await lane.target.script(`drop schema bucardo cascade`);
  await lane.run();
  expect(await needed(lane)).toHaveLength(2);
  await lane.source.script(`update item set note = 'after' where id = 1`);
  await lane.run();
  expect(restoredEvents(lane)).toHaveLength(1);
  await lane.expectEqual();
  await createLaneTable(lane.targetUrl());
  await lane.run();
  await keepTarget(lane);
  await lane.source.script(`update item set note = 'later' where id = 1`);
  await lane.run();
  await restoreTarget(lane);
  await lane.run();
  expect(restoredEvents(lane)).toHaveLength(2);
  await lane.expectEqual();
});

test('a target whose role may not use the table any more is replicated to without it, and nothing is thought lost', async () => {
  const lane = await createLaneFixture({ schema: TABLES, targetRole: 'writer' });
  await lane.source.script(`update item set note = 'before' where id = 1`);
  await lane.run();
  for (const grant of [
    'revoke all on bucardo.lane from writer',
    'grant select, insert, update on bucardo.lane to writer',
  ]) {
    await lane.target.script(grant);
    await lane.forgetConnections();
    await lane.source.script(`update item set note = '${grant}' where id = 1`);
    await lane.run();
    await lane.expectEqual();
  }
  expect(restoredEvents(lane)).toEqual([]);
  expect(await needed(lane)).toEqual([]);
});

test('a table that was held when the target’s backup was made gets what it lacked then', async () => {
  const lane = await createLaneFixture({ schema: TABLES });
  await lane.target.script(
    `alter table item add column extra int not null default 0; alter table item alter column extra drop default`,
  );
  await lane.source.script(
    `update item set note = 'held' where id = 1; insert into item values (50, 'held')`,
  );
  await lane.run();
  await lane.source.script(`update other set note = 'beside' where id = 1`);
  await lane.run();
  expect(await lane.held()).toHaveLength(1);
  await keepTarget(lane);
  await lane.target.script(`alter table item drop column extra`);
  await lane.source.run(`update bucardo.held_relation set retry_at = clock_timestamp()`);
  await lane.run();
  expect(await lane.held()).toEqual([]);
  await lane.source.script(`update other set note = 'after' where id = 2`);
  await lane.run();
  await lane.expectEqual();
  await restoreTarget(lane);
  await lane.target.script(`alter table item drop column extra`);
  await lane.run();
  await lane.expectEqual();
  expect(await needed(lane)).toEqual([]);
});

/** Ends a copy of `item` at a key, as a server that is shut down does. */
function stopAt(key: number): string {
  return `
    create or replace function stop() returns trigger language plpgsql as $$ begin
      if new.id > ${key} then raise exception using errcode = '57P01'; end if;
      return new;
    end $$;
    drop trigger if exists stop on item;
    create trigger stop before insert on item for each row execute function stop();
    alter table item enable always trigger stop`;
}

describe('a target that was restored beside a copy', () => {
  const copied = async (): Promise<LaneFixture> => {
    const lane = await createLaneFixture({
      schema: {
        source: `${TABLES}; alter table item set (fillfactor = 10, autovacuum_enabled = false);
          insert into item select n, repeat('more', 25) from generate_series(21, 700) n`,
        target: `${TABLES}; truncate item, other`,
      },
      copy: 'if-empty',
    });
    await lane.source.script(smallChunks('item'));
    return lane;
  };
  const copying = async (lane: LaneFixture) => {
    const [copy] = await lane.source.rows<{ rows: number }>(
      `select rows_copied::int as rows from bucardo.copy where table_name = 'item' and state = 'copying'`,
    );
    return copy?.rows ?? 0;
  };

  test('gets the copy anew that was under way', async () => {
    const lane = await copied();
    await lane.target.script(stopAt(300));
    await expect(lane.run()).rejects.toThrow();
    const before = await copying(lane);
    expect(before).toBeGreaterThan(0);
    await keepTarget(lane);
    await lane.target.script(stopAt(600));
    await expect(lane.run()).rejects.toThrow();
    expect(await copying(lane)).toBeGreaterThan(before);
    await restoreTarget(lane);
    await lane.target.script(`drop function stop() cascade`);
    await lane.run();
    expect(restoredEvents(lane)).toHaveLength(1);
    await lane.expectEqual();
    expect(await needed(lane)).toEqual([]);
  });

  test('needs a copy of what has been copied since', async () => {
    const lane = await copied();
    await keepTarget(lane);
    await lane.run();
    await lane.expectEqual();
    await restoreTarget(lane);
    await lane.run();
    expect(await needed(lane)).toEqual([
      { table: 'item', reason: 'target restored' },
      { table: 'other', reason: 'target restored' },
    ]);
    await requestCopy(lane.source, { sync: lane.sync.name });
    await lane.run();
    await lane.expectEqual();
  });

  test('needs none of what had been copied before', async () => {
    const lane = await copied();
    await lane.run();
    await keepTarget(lane);
    await lane.source.script(`update item set note = 'changed' where id between 90 and 120`);
    await requestCopy(lane.source, {
      sync: lane.sync.name,
      relation: { schema: 'public', table: 'other' },
    });
    await lane.run();
    await restoreTarget(lane);
    await lane.run();
    expect(await needed(lane)).toEqual([{ table: 'other', reason: 'target restored' }]);
    await lane.expectEqual();
  });
});
