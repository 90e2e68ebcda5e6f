/**
 * No name of ours meets a name of theirs. The names are taken from the SQL itself: all that our trigger functions and our runs
 * say at either side, Postgres's keywords, and names that differ only in case or in their length.
 */
import { beforeAll, expect, test } from 'vitest';
import { CONTROL_SEQUENCES, CONTROL_TABLES } from '../../shared/capture/control-schema.ts';
import { quoteIdentifier } from '../../shared/postgres/identifiers.ts';
import { createDatabase } from '../support/database.ts';
import { createLaneFixture, type LaneFixture } from '../support/lane-fixture.ts';
import { recordStatements } from '../support/recorded-statements.ts';

const SYSTEM_COLUMNS = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax']);
const KEY_COLUMNS = 30;
const OTHER_COLUMNS = 60;
/** More than are sent as arrays: these are staged. */
const MANY_ROWS = 1_100;

interface Shape {
  readonly schema: string;
  readonly table: string;
  readonly key: readonly string[];
  readonly others: readonly string[];
  readonly partitioned: boolean;
}

const WORD = /"(?:[^"]|"")+"|[A-Za-z_][A-Za-z0-9_$]*/g;

let names: readonly string[] = [];
/** Words of our own SQL, keywords left out that it does not use. */
let ownNames: readonly string[] = [];

function wordsOf(statements: readonly string[]): readonly string[] {
  return statements.flatMap((sql) => (sql.match(WORD) ?? []).map((word) => word.replaceAll('"', '')));
}

function nameOf(shape: Shape): string {
  return `${quoteIdentifier(shape.schema)}.${quoteIdentifier(shape.table)}`;
}

function tableSql(shape: Shape): string {
  const columns = [...shape.key, ...shape.others].map((name) => `${quoteIdentifier(name)} int`);
  const [first = ''] = shape.key;
  const key = shape.key.map(quoteIdentifier).join(', ');
  const table = `create table ${nameOf(shape)} (${columns.join(', ')}, primary key (${key}))`;
  if (!shape.partitioned) return `${table};`;
  return `${table} partition by range (${quoteIdentifier(first)});
    create table ${quoteIdentifier(shape.schema)}.${quoteIdentifier(`${shape.table} part`)}
      partition of ${nameOf(shape)} for values from (minvalue) to (maxvalue);`;
}

/** Rows of the same number in every column. */
function insertSql(shape: Shape, from: number, to: number): string {
  const columns = [...shape.key, ...shape.others];
  return `insert into ${nameOf(shape)} (${columns.map(quoteIdentifier).join(', ')})
    select ${columns.map(() => 'i').join(', ')} from generate_series(${from}, ${to}) i;`;
}

/** Every way of writing. Leaves rows 1 (changed), 3 (as 30) and more. */
function writeSql(shape: Shape, rows: number): string {
  const [first = ''] = shape.key;
  const [other = first] = shape.others;
  const where = (id: number) => `where ${quoteIdentifier(first)} = ${id}`;
  return `${insertSql(shape, 1, rows)}
    update ${nameOf(shape)} set ${quoteIdentifier(other)} = 100 ${where(1)};
    update ${nameOf(shape)} set ${quoteIdentifier(first)} = ${rows + 30} ${where(3)};
    delete from ${nameOf(shape)} ${where(2)};`;
}

async function writeAll(lane: LaneFixture, shapes: readonly Shape[], rows = 4): Promise<void> {
  for (const shape of shapes) await lane.source.script(writeSql(shape, rows));
}

/** One table for each of `tables`; their columns go round all names. */
function shapesOf(
  tables: readonly (readonly [schema: string, table: string])[],
  partitioned = false,
): readonly Shape[] {
  const columns = names.filter((name) => !SYSTEM_COLUMNS.has(name));
  const at = (position: number) => columns[position % columns.length] ?? 'id';
  return tables.map(([schema, table], index) => {
    const some = Array.from({ length: KEY_COLUMNS + OTHER_COLUMNS }, (_, i) => at(index * KEY_COLUMNS + i));
    return { schema, table, key: some.slice(0, KEY_COLUMNS), others: some.slice(KEY_COLUMNS), partitioned };
  });
}

function setUp(shapes: readonly Shape[]): string {
  const schemas = new Set(shapes.map(({ schema }) => schema));
  schemas.delete('public');
  return `${[...schemas].map((name) => `create schema ${quoteIdentifier(name)};`).join('')}
    ${shapes.map(tableSql).join('\n')}`;
}

/** An ordinary lane does all that lanes do, and what it says is looked at. */
beforeAll(async () => {
  const statements: string[] = [];
  const record = async (body: () => Promise<void>) => void statements.push(...(await recordStatements(body)));
  const schema = `create table item (id int primary key, note text);
    create table part (id int primary key) partition by range (id);
    create table part_1 partition of part for values from (0) to (10000);
    create table loose (id int unique, note text)`;
  for (const targetRole of [undefined, 'writer'] as const) {
    await record(async () => {
      const lane = await createLaneFixture({ schema, targetRole, copy: 'always' });
      await lane.source.script(`insert into item select i from generate_series(1, 10) i;
        insert into part values (1); insert into loose values (1), (null)`);
      await lane.run();
      await lane.source.script(`insert into item select i from generate_series(11, 2000) i;
        update item set id = 5000 where id = 1; delete from item where id = 2; insert into loose values (2)`);
      await lane.run();
      await lane.target.script(`alter table item add check (note <> 'refused')`);
      await lane.source.script(
        `update item set note = 'refused' where id = 3; truncate part; insert into part values (2)`,
      );
      await lane.run();
      await lane.close();
    });
  }
  const database = await createDatabase();
  const db = await database.app();
  const keywords = await db.rows<{ word: string }>(`select word from pg_get_keywords()`);
  ownNames = [...new Set(wordsOf(statements))].filter((name) => name !== '' && Buffer.byteLength(name) <= 63);
  for (const name of ['changed_rows', 'missing', 'all_gone', 'bucardo']) expect(ownNames).toContain(name);
  const long = 'n'.repeat(62);
  const others = [
    'T',
    'New',
    'OLD',
    'Found',
    'Txid',
    'TXNTIME',
    'Author',
    'excluded',
    'stamp',
    'key_txid',
    'key_author',
    'key_key_txid',
    'key_txntime',
    `${long}a`,
    `${long}b`,
    `${long.slice(1)}a`,
    'a b',
    `q"'\\\\`,
    'é',
    '1',
    '$1',
    '"',
    '%',
    ' ',
  ];
  names = [...new Set([...ownNames, ...keywords.map(({ word }) => word), ...others])];
}, 120_000);

async function expectLevel(lane: LaneFixture, shapes: readonly Shape[]): Promise<void> {
  await lane.run();
  expect(await lane.held()).toEqual([]);
  await lane.expectEqual();
  const filled = shapes.map((shape) => `exists (select from ${nameOf(shape)})`);
  const { all } = await lane.target.row<{ all: boolean }>(`select ${filled.join(' and ')} as all`);
  expect(all).toBe(true);
}

/** As many tables as it takes to have had every name in a key. */
function tablesForAllNames(schema: string): readonly (readonly [string, string])[] {
  const count = Math.ceil(names.length / KEY_COLUMNS);
  return Array.from({ length: count }, (_, index) => [schema, `t${index}`] as const);
}

test.each([
  ['columns of every name are captured, replicated and refused', undefined, false],
  ['so they are where foreign keys are in force', 'writer', false],
  ['partitioned tables with columns of every name are captured row by row', 'writer', true],
] as const)('%s', { timeout: 300_000 }, async (_title, targetRole, partitioned) => {
  const shapes = shapesOf(tablesForAllNames('public'), partitioned);
  const lane = await createLaneFixture({ schema: setUp(shapes), targetRole });
  await writeAll(lane, shapes);
  await expectLevel(lane, shapes);

  for (const shape of shapes) {
    const [first = '', other = ''] = [shape.key[0], shape.others[0]];
    await lane.target.script(`alter table ${nameOf(shape)} add check (${quoteIdentifier(other)} <> 777)`);
    await lane.source.script(`update ${nameOf(shape)} set ${quoteIdentifier(other)} = 777
        where ${quoteIdentifier(first)} = 1; ${insertSql(shape, 60, 60)}`);
  }
  await lane.run();
  expect(await lane.held()).toEqual([]);
  expect(await lane.rejected()).toHaveLength(shapes.length);
  for (const shape of shapes) {
    const [first = '', other = ''] = [shape.key[0], shape.others[0]];
    await lane.source.script(
      `update ${nameOf(shape)} set ${quoteIdentifier(other)} = 1 where ${quoteIdentifier(first)} = 1`,
    );
  }
  await expectLevel(lane, shapes);
  expect(await lane.rejected()).toEqual([]);
});

test('columns of every name are copied, and brought in bulk', { timeout: 300_000 }, async () => {
  const shapes = shapesOf(tablesForAllNames('public').slice(0, 6));
  const lane = await createLaneFixture({ schema: setUp(shapes), copy: 'always' });
  await writeAll(lane, shapes);
  await expectLevel(lane, shapes);
  for (const shape of shapes) await lane.source.script(insertSql(shape, 100, 100 + MANY_ROWS));
  for (const shape of shapes) {
    const [first = ''] = shape.key;
    await lane.source.script(
      `delete from ${nameOf(shape)} where ${quoteIdentifier(first)} between 5 and 600`,
    );
  }
  await expectLevel(lane, shapes);
});

test('tables whose name, key and column are each word of ours', { timeout: 300_000 }, async () => {
  const shapes = [...new Set([...ownNames, 'excluded'])]
    .filter((name) => !SYSTEM_COLUMNS.has(name))
    .map((name) => ({
      schema: 'public',
      table: name,
      key: [name],
      others: [`${name.slice(0, 30)} other`],
      partitioned: false,
    }));
  const lane = await createLaneFixture({ schema: setUp(shapes) });
  await writeAll(lane, shapes);
  await expectLevel(lane, shapes);
});

test(
  'schemas and tables that are called like ours, or differ in case only',
  { timeout: 300_000 },
  async () => {
    const ours = [...CONTROL_TABLES, ...CONTROL_SEQUENCES];
    const tables = ['Bucardo', 'BUCARDO', 'bucardo_', 'delta_public', 'origin', 'text'].flatMap((schema) =>
      [...ours, 'delta_public_item', 'Item', 'item'].map((table) => [schema, table] as const),
    );
    const shapes = shapesOf(tables);
    const lane = await createLaneFixture({ schema: setUp(shapes), tables: ['*.*'] });
    await writeAll(lane, shapes);
    await expectLevel(lane, shapes);
  },
);
