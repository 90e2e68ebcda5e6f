/** Rows of many columns and values of many bytes: only the row that cannot be written or read is parked. */
import { describe, expect, test } from 'vitest';
import { createLaneFixture } from '../support/lane-fixture.ts';

function wideTable(columns: number, type = 'int'): string {
  const list = Array.from({ length: columns - 1 }, (_, index) => `c${index} ${type}`);
  return `create table wide (id int primary key, ${list.join(', ')})`;
}

/** Rows with every column filled. */
function wideRows(columns: number, ids: string, value = '1'): string {
  return `insert into wide select n${`, ${value}`.repeat(columns - 1)} from generate_series(${ids}) n`;
}

describe.each([undefined, 'writer'] as const)('with the target role %s', (targetRole) => {
  test.each([
    [900, 3],
    [900, 1_200],
    [1_600, 3],
    [1_600, 1_200],
  ])('of rows with %i columns only the refused one of %i is parked', async (columns, count) => {
    const lane = await createLaneFixture({
      schema: {
        source: wideTable(columns),
        target: `${wideTable(columns)}; alter table wide add constraint small check (c5 < 10)`,
      },
      targetRole,
    });
    // As text a row of 900 such numbers would not fit into a page.
    await lane.source.script(`${wideRows(columns, `1, ${count}`, columns > 1000 ? '1' : '1234567')};
      update wide set c5 = 1; update wide set c5 = 10 where id = 2`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    expect((await lane.rejected()).map(({ key }) => key)).toEqual([['2']]);
    expect(await lane.target.row(`select count(*)::int from wide`)).toEqual({ count: count - 1 });
    await lane.source.script(`update wide set c5 = 2 where id = 2; delete from wide where id = 1`);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual();
  });

  test('a row that does not fit into a page of the target is parked with Postgres’s message', async () => {
    const lane = await createLaneFixture({
      schema: { source: wideTable(1_500, 'smallint'), target: wideTable(1_500, 'numeric') },
      targetRole,
    });
    await lane.source.script(`insert into wide (id) values (1), (3); ${wideRows(1_500, '2, 2', '12345')}`);
    await lane.run();
    expect(await lane.held()).toEqual([]);
    expect(await lane.rejected()).toMatchObject([
      {
        key: ['2'],
        message: expect.stringMatching(/^row is too big: size \d+, maximum size \d+, SQLSTATE 54000$/),
      },
    ]);
    expect(await lane.target.rows(`select id from wide order by id`)).toEqual([{ id: 1 }, { id: 3 }]);
  });
});

test.each(['changes', 'a first copy'])(
  'a row that the source cannot send in %s is parked, the others arrive',
  async (way) => {
    const table = `create table files (id int primary key, name text, content bytea, words tsvector)`;
    const lane = await createLaneFixture({
      schema: { source: table, target: `${table}; create table nothing ()` },
      tables: ['public.files'],
      copy: way === 'changes' ? 'never' : 'if-empty',
    });
    const fill = `
    insert into files select n, 'name ' || n, '\\x00' from generate_series(1, 50) n;
    insert into files select 51, 'huge', part || part from convert_to(repeat('x', 270000000), 'UTF8') part`;
    await lane.source.script(fill);
    await lane.run();
    // Compressed it is small; as text it has more than a gigabyte.
    expect(await lane.held()).toEqual([]);
    expect(await lane.rejected()).toMatchObject([
      {
        key: ['51'],
        code: 'BUC-ROW-UNREADABLE',
        message: expect.stringMatching(/invalid memory alloc request size|enlarge string buffer/),
      },
    ]);
    expect(await lane.target.row(`select count(*)::int from files`)).toEqual({ count: 50 });
    await lane.source.script(`update files set content = '\\x01' where id = 51`);
    await lane.run();
    expect(await lane.rejected()).toEqual([]);
    await lane.expectEqual();
  },
  240_000,
);
