/**
 * What every destination engine must do, as a suite that an engine runs against its real server. Changes are made here as COPY
 * writes them, as a source would send them.
 */
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { asBucardoError, BucardoError } from '../../shared/errors/bucardo-error.ts';
import { displayRelation } from '../../shared/postgres/identifiers.ts';
import { planRelation, type RelationPlan } from '../../shared/replicate/relation-plan.ts';
import type { Applied, Destination, RelationChanges } from '../../shared/targets/target.ts';

type Row = readonly (string | null)[];

/** A place of an engine's for one test, with the suite's tables in it, empty. */
export interface TargetPlace {
  /** Runs `body` with the lane's destination, as a run would. */
  withDestination<Result>(body: (destination: Destination) => Promise<Result>): Promise<Result>;
  /** All rows of a table in the order of their keys, as Postgres's text. */
  rowsOf(table: string): Promise<readonly Row[]>;
}

/**
 * An engine opens places with these tables in schema `public`:
 * - `people (id integer key, name text, amount integer at most 100)`
 * - `pairs (a integer, b text, both the key, and no other column)`
 */
export interface TargetEngine {
  readonly name: string;
  readonly openPlace: () => Promise<TargetPlace>;
}

interface Change {
  readonly present?: readonly Row[];
  /** Keys. */
  readonly gone?: readonly Row[];
}

const NAMES = { source: 'source', destination: 'target' };
const KEYS: Readonly<Record<string, readonly string[]>> = { people: ['id'], pairs: ['a', 'b'] };

export function targetContract(engine: TargetEngine): void {
  describe(`a destination: ${engine.name}`, () => {
    test('describes the tables that are there and leaves out the others', async () => {
      const place = await engine.openPlace();
      const tables = await place.withDestination((destination) =>
        destination.describe([
          { schema: 'public', table: 'people' },
          { schema: 'public', table: 'nothing' },
        ]),
      );
      expect([...tables.keys()]).toEqual(['public.people']);
      expect(tables.get('public.people')).toMatchObject({
        columns: [{ name: 'id' }, { name: 'name' }, { name: 'amount' }],
      });
    });

    test('tries the modes in order, the careful one last', async () => {
      const place = await engine.openPlace();
      const modes = await place.withDestination(async ({ modes }) => modes);
      expect(modes.at(-1)).toBe('carefully');
      expect(new Set(modes).size).toBe(modes.length);
    });

    test.each([3, 1_500])(
      'applies %i inserts, updates and deletes, and again with the same outcome',
      async (count) => {
        const place = await engine.openPlace();
        const many = (name: string): Row[] =>
          Array.from({ length: count }, (_, i) => [String(i + 1), name, '1']);
        await apply(place, { people: { present: many('first') } });
        expect(await place.rowsOf('people')).toEqual(many('first'));
        const change: Readonly<Record<string, Change>> = {
          people: { present: [...many('second').slice(1), ['9999', null, null]], gone: [['1'], ['8888']] },
          pairs: {
            present: [
              ['1', 'b'],
              ['1', 'c'],
            ],
            gone: [['2', 'b']],
          },
        };
        const expected = [...many('second').slice(1), ['9999', null, null]];
        for (let round = 0; round < 2; round += 1) {
          expect((await apply(place, change)).refused).toEqual([]);
          expect(await place.rowsOf('people')).toEqual(expected);
          expect(await place.rowsOf('pairs')).toEqual([
            ['1', 'b'],
            ['1', 'c'],
          ]);
        }
        await apply(place, {
          pairs: {
            gone: [
              ['1', 'b'],
              ['1', 'c'],
            ],
          },
        });
        expect(await place.rowsOf('pairs')).toEqual([]);
      },
    );

    test('values keep every character', async () => {
      const place = await engine.openPlace();
      const names = [
        '',
        ' ',
        '\\N',
        '\\',
        'a\tb',
        'a\nb\r\n',
        '\b\f\v',
        '\u0001\u007f',
        'ü😀\u{10ffff}',
        `'"\`;--`,
        'NULL',
      ];
      const rows = names.map((name, index): Row => [String(index + 1), name, null]);
      await apply(place, { people: { present: rows } });
      expect(await place.rowsOf('people')).toEqual(rows);
      await place.withDestination(async (destination) => {
        await destination.empty([await planOf(destination, 'people')]);
        await destination.fillRanges([await changesOf(destination, 'people', { present: rows })]);
      });
      expect(await place.rowsOf('people')).toEqual(rows);
    });

    test('a batch is one transaction: a refused row of one relation undoes the others', async () => {
      const place = await engine.openPlace();
      const batch = {
        pairs: { present: [['1', 'b']] },
        people: {
          present: [
            ['1', 'fine', '1'],
            ['2', 'bad', '101'],
          ],
        },
      };
      const error = await place.withDestination(async (destination) => {
        const changes = [];
        for (const [table, change] of Object.entries(batch))
          changes.push(await changesOf(destination, table, change));
        const failure = await destination.apply(changes, destination.modes[0]).catch(asBucardoError);
        expect(destination.scopeOf(failure as BucardoError)).toBe('row');
        return failure;
      });
      expect(error).toMatchObject({ concern: { relation: 'public.people' } });
      expect(await place.rowsOf('pairs')).toEqual([]);
      expect(await place.rowsOf('people')).toEqual([]);
    });

    test('a failed batch leaves the destination fit for the next one', async () => {
      const place = await engine.openPlace();
      await place.withDestination(async (destination) => {
        const bad = await changesOf(destination, 'people', { present: [['1', 'bad', '101']] });
        await expect(destination.apply([bad], destination.modes[0])).rejects.toThrow();
        const good = await changesOf(destination, 'people', { present: [['1', 'good', '1']] });
        await destination.apply([good], destination.modes[0]);
      });
      expect(await place.rowsOf('people')).toEqual([['1', 'good', '1']]);
    });

    test('carefully applied, only the refused rows are left out, and are named by their keys', async () => {
      const place = await engine.openPlace();
      await apply(place, {
        people: {
          present: [
            ['1', 'before', '1'],
            ['2', 'before', '1'],
            ['3', 'before', '1'],
          ],
        },
      });
      const people = Array.from({ length: 500 }, (_, index): Row => [
        String(index + 1),
        'after',
        index % 200 === 1 ? '101' : '1',
      ]);
      const applied = await apply(
        place,
        {
          people: { present: people.slice(0, 2).concat(people.slice(3)), gone: [['3']] },
          pairs: { present: [['1', 'b']] },
        },
        'carefully',
      );
      expect(applied.refused.map(({ plan, key }) => [plan.table, ...key])).toEqual([
        ['people', '2'],
        ['people', '202'],
        ['people', '402'],
      ]);
      for (const { error } of applied.refused) {
        expect(error).toMatchObject({ code: 'BUC-ROW-REFUSED', concern: { relation: 'public.people' } });
        expect(JSON.stringify(error) + error.message).not.toContain('after');
      }
      const rows = await place.rowsOf('people');
      expect(rows).toHaveLength(497);
      expect(rows.slice(0, 3)).toEqual([
        ['1', 'after', '1'],
        ['2', 'before', '1'],
        ['4', 'after', '1'],
      ]);
      expect(await place.rowsOf('pairs')).toEqual([['1', 'b']]);
    });

    test('fills an empty table and says whether it is empty', async () => {
      const place = await engine.openPlace();
      const rows = Array.from({ length: 2_000 }, (_, index): Row => [String(index + 1), 'n', null]);
      await place.withDestination(async (destination) => {
        const plan = await planOf(destination, 'people');
        expect(await destination.isEmpty(plan)).toBe(true);
        expect(
          await destination.fillRanges([await changesOf(destination, 'people', { present: rows })]),
        ).toBe(2_000);
        expect(await destination.isEmpty(plan)).toBe(false);
      });
      expect(await place.rowsOf('people')).toEqual(rows);
    });

    test('a fill that fails leaves the table as it was', async () => {
      const place = await engine.openPlace();
      await place.withDestination(async (destination) => {
        const changes = await changesOf(destination, 'people', {
          present: [
            ['1', 'n', '1'],
            ['2', 'n', '101'],
          ],
        });
        const error = await destination.fillRanges([changes]).catch(asBucardoError);
        expect(error).toMatchObject({ concern: { relation: 'public.people' } });
        expect(await destination.isEmpty(changes.plan)).toBe(true);
      });
    });

    test('empties all tables at once', async () => {
      const place = await engine.openPlace();
      await apply(place, { people: { present: [['1', 'n', '1']] }, pairs: { present: [['1', 'b']] } });
      await place.withDestination(async (destination) => {
        await destination.empty([await planOf(destination, 'people'), await planOf(destination, 'pairs')]);
      });
      expect(await place.rowsOf('people')).toEqual([]);
      expect(await place.rowsOf('pairs')).toEqual([]);
    });

    test('a lane’s destination is had by one run at a time', async () => {
      const place = await engine.openPlace();
      const other = await place.withDestination(() =>
        place.withDestination(async () => 'both').catch(asBucardoError),
      );
      expect(other).toMatchObject({ code: 'BUC-LANE-BUSY', retry: 'now' });
      expect(await place.withDestination(async () => 'free again')).toBe('free again');
    });
  });
}

async function apply(
  place: TargetPlace,
  batch: Readonly<Record<string, Change>>,
  mode?: 'carefully',
): Promise<Applied> {
  return await place.withDestination(async (destination) => {
    const changes: RelationChanges[] = [];
    for (const [table, change] of Object.entries(batch))
      changes.push(await changesOf(destination, table, change));
    return await destination.apply(changes, mode ?? destination.modes[0]);
  });
}

/** The plan of a source whose table is like the target's. */
async function planOf(destination: Destination, table: string): Promise<RelationPlan> {
  const name = { schema: 'public', table };
  const described = (await destination.describe([name])).get(displayRelation(name));
  if (described instanceof BucardoError) throw described;
  return planRelation(
    { ...name, deltaName: `delta_${table}`, keyColumns: KEYS[table] ?? [] },
    described,
    described,
    NAMES,
  );
}

async function changesOf(
  destination: Destination,
  table: string,
  { present = [], gone = [] }: Change,
): Promise<RelationChanges> {
  const plan = await planOf(destination, table);
  const keyLength = plan.key.length;
  const rest = plan.columns.slice(keyLength).map(() => null);
  const stream = (lines: readonly Row[]): (() => Readable) => {
    return () => Readable.from([Buffer.from(lines.map(copyLine).join(''))], { objectMode: false });
  };
  return {
    plan,
    estimatedRows: present.length + gone.length,
    keys: stream([...present.map((row) => row.slice(0, keyLength)), ...gone]),
    rows: (format) =>
      format === 'text'
        ? stream(present)()
        : Readable.from([copyBinary(present, plan)], { objectMode: false }),
    rowsAhead: undefined,
    changes: stream([...present.map((row) => ['f', ...row]), ...gone.map((key) => ['t', ...key, ...rest])]),
    packed: async () =>
      stream([
        ...present.map((row) => ['f', ...row.slice(0, keyLength), rowText(row.slice(keyLength))]),
        ...gone.map((key) => ['t', ...key, null]),
      ])(),
    leaveOutUnreadable: async () => [],
  };
}

/** Source: Postgres manual, "Composite Type Input and Output Syntax". */
function rowText(fields: Row): string {
  const quoted = fields.map((field) =>
    field === null ? '' : `"${field.replaceAll('\\', '\\\\').replaceAll('"', '""')}"`,
  );
  return `(${quoted.join(',')})`;
}

function copyLine(fields: Row): string {
  const escaped = fields.map((field) =>
    field === null
      ? '\\N'
      : field
          .replaceAll('\\', '\\\\')
          .replaceAll('\t', '\\t')
          .replaceAll('\n', '\\n')
          .replaceAll('\r', '\\r'),
  );
  return `${escaped.join('\t')}\n`;
}

/** Source: Postgres manual, `COPY`, "Binary Format". Knows the suite's types: integer and text. */
function copyBinary(rows: readonly Row[], { columns }: RelationPlan): Buffer {
  const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
  const int32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const field = (value: string | null, index: number): Buffer => {
    if (value === null) return int32(-1);
    const bytes = columns[index]?.type === 'integer' ? int32(Number(value)) : Buffer.from(value);
    return Buffer.concat([int32(bytes.length), bytes]);
  };
  return Buffer.concat([
    Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
    int32(0),
    int32(0),
    ...rows.map((row) => Buffer.concat([int16(row.length), ...row.map(field)])),
    int16(-1),
  ]);
}
