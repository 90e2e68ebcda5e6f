import { expect, test } from 'vitest';
import { createLaneFixture } from '../support/lane-fixture.ts';

const MODES = [undefined, 'writer'] as const;

test.each(MODES)('inserts, updates, deletes and key changes arrive (role %s)', async (targetRole) => {
  const lane = await createLaneFixture({
    schema: `create table orders (id bigint primary key, note text)`,
    targetRole,
  });
  await lane.source.script(`insert into orders select n, 'note ' || n from generate_series(1, 10) n`);
  expect(await lane.run()).toMatchObject({ rows: 10, batches: 1, more: false });
  await lane.expectEqual();

  await lane.source.script(`
    update orders set note = 'changed' where id = 1;
    delete from orders where id = 2;
    update orders set id = 300 where id = 3;
    update orders set id = id + 1000 where id > 5 and id < 9`);
  await lane.run();
  await lane.expectEqual();
  expect(await lane.target.rows(`select id from orders where id in (2, 3)`)).toEqual([]);
});
