/** What is read from the catalogs about tables, where it is more than what they say. */
import { expect, test } from 'vitest';
import { describeTables, type Table } from '../../shared/postgres/catalog.ts';
import type { Connection } from '../../shared/postgres/connection.ts';
import { createDatabase } from '../support/database.ts';

async function describeTable(db: Connection, table: string): Promise<Table> {
  const found = (await describeTables(db, [{ schema: 'public', table }])).get(`public.${table}`);
  if (found === undefined) throw new Error(`${table} is not there`);
  return found;
}

const FILL = `insert into items select n, 'a text of about thirty bytes' from generate_series(1, 20000) n`;

test.each([
  'create table items (id int, note text)',
  `create table items (id int, note text) partition by range (id);
   create table items_1 partition of items for values from (0) to (5000);
   create table items_2 partition of items default`,
])('the rows of a table are estimated by its size now: %s', async (definition) => {
  const database = await createDatabase(definition);
  const db = await database.app();
  expect((await describeTable(db, 'items')).estimatedRows).toBe(0);

  await db.script(FILL);
  const { estimatedRows: guessed } = await describeTable(db, 'items');
  expect(guessed).toBeGreaterThan(15_000);
  expect(guessed).toBeLessThan(25_000);

  await db.script('analyze items');
  expect(Math.abs((await describeTable(db, 'items')).estimatedRows - 20_000)).toBeLessThan(200);

  await db.script(`${FILL}; ${FILL}`);
  expect(Math.abs((await describeTable(db, 'items')).estimatedRows - 60_000)).toBeLessThan(1_500);
});
