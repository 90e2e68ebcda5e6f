/** What waits for what at a target: nothing of ours makes an application's session wait long, and nothing of theirs makes us wait in silence. */
import { describe, expect, test } from 'vitest';
import { requestCopy } from '../../shared/replicate/request-copy.ts';
import { createLaneFixture } from '../support/lane-fixture.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLES = `create table orders (id int primary key, note text); create table other (id int primary key, note text)`;

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test('a copy empties tables that somebody reads, and keeps no other reader waiting', async () => {
    const tables = `
      create table parents (id int primary key, parent int, note text);
      create table children (id int, parent int, note text) partition by list (parent);
      create table children_1 partition of children for values in (1);
      create table children_2 partition of children for values in (2);
      create unique index on children (id, parent);
      alter table children alter id set not null, alter parent set not null`;
    const lane = await createLaneFixture({
      schema: {
        source: tables,
        target: `${tables};
          create index on parents (parent); create index on children (parent);
          alter table parents add foreign key (parent) references parents;
          alter table children add foreign key (parent) references parents;
          create table audit (id int)`,
      },
      tables: ['public.parents', 'public.children'],
      targetRole,
    });
    // Enough pages for several pieces, each row refers to one of another piece.
    await lane.target.script(`
      insert into parents select n, case when n > 1 then 6001 - n end, repeat('old', 600) from generate_series(1, 6000) n;
      insert into children select n, 1 + n % 2, repeat('old', 600) from generate_series(1, 12000) n`);
    await lane.source.script(
      `insert into parents values (1, null, 'new'), (2, 1, 'new'); insert into children values (1, 1, 'new')`,
    );
    const [reader, second] = [await lane.session(lane.targetUrl()), await lane.session(lane.targetUrl())];
    await reader.script('begin; select count(*) from parents, children limit 1');
    await requestCopy(lane.source, { sync: 'orders' });
    const run = lane.run();
    let reads = 0;
    await waitFor(async () => {
      reads += 1;
      const { count } = await second.row<{ count: string }>(`select count(*) from parents`);
      return count === '2';
    }, 50_000);
    await run;
    // The run is over while the first reader still has its locks.
    await reader.script('commit');
    expect(reads).toBeGreaterThan(1);
    await lane.expectEqual();
  });

  test('no statement of ours takes more at a target’s table than a writer’s lock, but for TRUNCATE', async () => {
    const lane = await createLaneFixture({
      schema: {
        source: `${TABLES}; create table sets (a int, b int, note text, unique (a, b))`,
        target: `${TABLES}; create table sets (a int, b int, note text, unique (a, b));
          alter table orders add constraint small check (length(note) < 10);
          create table seen (mode text, operation text, primary key (mode, operation));
          create function look() returns trigger language plpgsql security definer as $$ begin
            insert into public.seen select mode, tg_op from pg_locks
            where pid = pg_backend_pid() and locktype = 'relation' and relation = tg_relid on conflict do nothing;
            return null;
          end $$;
          create trigger look after insert or update or delete on orders for each statement execute function look();
          create trigger look after insert or update or delete on sets for each statement execute function look();
          create trigger look_truncate after truncate on orders for each statement execute function look();
          alter table orders enable always trigger look; alter table sets enable always trigger look;
          alter table orders enable always trigger look_truncate`,
      },
      tables: ['public.orders', 'public.other', 'public.sets'],
      targetRole,
    });
    // Small and large batches, deletes, rows that are replaced, a refused row, a copy that empties and fills.
    await lane.source.script(
      `insert into orders values (1, 'a'), (2, 'b'); insert into sets values (1, null, 'a')`,
    );
    await lane.run();
    await lane.source.script(`update orders set note = 'c' where id = 1; delete from orders where id = 2;
      update sets set note = 'b'; insert into orders select n, 'n' from generate_series(10, 3000) n`);
    await lane.run();
    await lane.source.script(
      `update orders set note = 'm'; update orders set note = 'far too long' where id = 1`,
    );
    await lane.run();
    expect(await lane.rejected()).toHaveLength(1);
    await requestCopy(lane.source, { sync: 'orders' });
    await lane.run();
    const seen = await lane.target.rows<{ mode: string; operation: string }>('select * from seen');
    const strong = seen.filter(
      ({ mode }) => !['AccessShareLock', 'RowShareLock', 'RowExclusiveLock'].includes(mode),
    );
    expect(new Set(strong.map(({ operation }) => operation))).toEqual(
      new Set(targetRole === 'writer' ? [] : ['TRUNCATE']),
    );
    expect(new Set(seen.map(({ operation }) => operation))).toEqual(
      new Set(['INSERT', 'UPDATE', 'DELETE', ...(targetRole === 'writer' ? [] : ['TRUNCATE'])]),
    );
  });

  test('a row that somebody holds at the target holds its table, with an error that says so', async () => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole });
    await lane.source.script(`insert into orders values (1, 'a'); insert into other values (1, 'a')`);
    await lane.run();
    const idle = await lane.session(lane.targetUrl());
    await idle.script(`begin; update orders set note = 'mine' where id = 1`);
    await lane.source.script(`begin; update orders set note = 'b'; update other set note = 'b'; commit`);
    await lane.run();
    expect(await lane.held()).toMatchObject([
      { table: 'public.orders', code: 'BUC-DB-LOCKED', detail: expect.stringContaining('55P03') },
    ]);
    await lane.expectEqual(['public.other']);
    await idle.script('commit');
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });

  test('a table that is locked at the target is held, and the others go on', async () => {
    const lane = await createLaneFixture({ schema: TABLES, targetRole });
    await lane.source.script(
      `begin; insert into orders values (1, 'a'); insert into other values (1, 'a'); commit`,
    );
    const migration = await lane.session(lane.targetUrl());
    await migration.script(`begin; lock table orders in access exclusive mode`);
    await lane.run();
    expect(await lane.held()).toMatchObject([{ table: 'public.orders', code: 'BUC-DB-LOCKED' }]);
    await lane.expectEqual(['public.other']);
    await migration.script('commit');
    await lane.runLater();
    expect(await lane.held()).toEqual([]);
    await lane.expectEqual();
  });
});
