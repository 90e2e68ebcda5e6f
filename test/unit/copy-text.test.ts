/** The parser of COPY's text format against Postgres's own output. */
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { parseCopyText, readPrefix } from '../../shared/postgres/copy-text.ts';
import { createDatabase } from '../support/database.ts';

/** Postgres text has no NUL. */
const text = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({
      unit: fc.constantFrom(
        '\\',
        'N',
        '\t',
        '\n',
        '\r',
        '\b',
        '\f',
        '\v',
        '.',
        'x',
        '0',
        ' ',
        '\u2028',
        '😀',
      ),
    }),
  )
  .map((value) => value.replaceAll('\0', ''));
const field = fc.option(text, { freq: 4 });
const lines = fc
  .integer({ min: 1, max: 4 })
  .chain((columns) =>
    fc.array(fc.array(field, { minLength: columns, maxLength: columns }), { maxLength: 20 }),
  );

test('what Postgres writes is read back as it was', async () => {
  const database = await createDatabase();
  const db = await database.app();
  await fc.assert(
    fc.asyncProperty(lines, async (rows) => {
      const columns = (rows[0] ?? [null]).map((_, index) => `c${index}`);
      await db.script(
        `drop table if exists t; create table t (n int, ${columns.map((name) => `${name} text`).join(', ')})`,
      );
      for (const [n, row] of rows.entries()) {
        await db.run(
          `insert into t values (${n}, ${row.map((_, index) => `$${index + 1}`).join(', ')})`,
          row,
        );
      }
      const chunks: Buffer[] = [];
      for await (const chunk of db.copyOut(
        `copy (select ${columns.join(', ')} from t order by n) to stdout`,
      )) {
        chunks.push(chunk as Buffer);
      }
      expect(parseCopyText(Buffer.concat(chunks))).toEqual(rows);
    }),
    { numRuns: 60 },
  );
});

test('no bytes are no lines', () => {
  expect(parseCopyText(Buffer.alloc(0))).toEqual([]);
  expect(parseCopyText(Buffer.from('\n'))).toEqual([['']]);
  expect(parseCopyText(Buffer.from('\\N\t\n'))).toEqual([[null, '']]);
});

test('a prefix and its rest are the whole stream, wherever it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 20 }),
      fc.integer({ min: 0, max: 300 }),
      async (chunks, limit) => {
        const all = Buffer.concat(chunks);
        const prefix = await readPrefix(
          Readable.from(
            chunks.map((chunk) => Buffer.from(chunk)),
            { objectMode: false },
          ),
          limit,
        );
        expect(prefix.whole).toBe(all.length <= limit);
        const read = [prefix.bytes];
        if (!prefix.whole) {
          for (let next = await prefix.rest.next(); next.done !== true; next = await prefix.rest.next())
            read.push(next.value);
        }
        expect(Buffer.concat(read).equals(all)).toBe(true);
      },
    ),
  );
});

test('the error of a stream is the error of its prefix', async () => {
  const broken = new Readable({
    read() {
      this.destroy(new Error('broke off'));
    },
  });
  await expect(readPrefix(broken, 10)).rejects.toThrow('broke off');
});
