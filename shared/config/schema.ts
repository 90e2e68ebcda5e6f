/**
 * The shape of bucardo.config.ts, key by key. Each message says what is wrong and what to do; none quotes a value that may
 * be secret. What concerns several keys at once is in cross-checks.ts.
 */
import * as v from 'valibot';
import { closestName } from './closest-name.ts';
import { urlProblem } from './database-url.ts';
import { isPlainObject, kindOf } from './kind-of.ts';
import { databaseNameProblem, fleetNameProblem, syncNameProblem } from './names.ts';
import { parseSelector } from './relations.ts';
import { scheduleProblem } from './schedule.ts';
import type { CopyPolicy, Schedule, ValueRef } from './types.ts';

/** Bucardo replicates to these too; here they come later. */
const LATER_ENGINES = ['mysql', 'mariadb', 'oracle', 'sqlite', 'mongodb', 'redis'];
const LATER_ENGINE_NAMES: Readonly<Record<string, string>> = { mongo: 'mongodb', drizzle: 'mysql' };

const COPY_POLICIES: readonly CopyPolicy[] = ['if-empty', 'always', 'never'];

/** A batch is one transaction at the destination; more than this holds locks for minutes. */
const GREATEST_BATCH_ROWS = 1_000_000;

/** A value that `judge` finds nothing wrong with. */
function judged<Value>(judge: (input: unknown) => string | undefined) {
  return v.custom<Value>(
    (input) => judge(input) === undefined,
    ({ input }) => judge(input) ?? '',
  );
}

function judgedText<Value extends string = string>(
  what: string,
  judge: (text: string) => string | undefined,
) {
  return judged<Value>((input) => (typeof input === 'string' ? judge(input) : wanted(what, input)));
}

function wanted(what: string, input: unknown): string {
  return input === undefined ? `is missing; write ${what}` : `must be ${what}, not ${kindOf(input)}`;
}

/** A key that will have a meaning; accepted by no version so far. */
function later(text: string, shape: (input: unknown) => string | undefined = () => undefined) {
  return v.optional(judged<never>((input) => shape(input) ?? `is not supported yet: ${text}`));
}

/** What people who know Bucardo, or guess, write instead. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  dbs: "write 'sources' and 'targets'",
  source: "write 'sources', a list",
  target: "write 'targets', a list",
  herd: "write 'tables'",
  relgroup: "write 'tables'",
  relations: "write 'tables'",
  onetimecopy: "write 'copy'",
  checktime: "write 'schedule'",
  conflict_strategy: "'conflict' comes with several sources, which are not supported yet",
  sequences: 'sequences are not supported yet',
  password: 'no password may be in the file; put the whole URL into a variable or secret',
  host: "write 'url', one URL for all parts of the connection",
  port: "write 'url', one URL for all parts of the connection",
  user: "write 'url', one URL for all parts of the connection",
};

/** An object with known keys only. `required` says what to write for each key that must be there. */
function section<const Entries extends v.ObjectEntries>(
  what: string,
  entries: Entries,
  required: Readonly<Record<string, string>> = {},
) {
  const keys = Object.keys(entries);
  return v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(isPlainObject, ({ input }) => wanted(what, input)),
    v.looseObject(entries, ({ expected }) => {
      const key = expected?.replaceAll('"', '') ?? '';
      return `is missing; write ${required[key] ?? `'${key}'`}`;
    }),
    v.rawCheck(({ dataset, addIssue }) => {
      const input: unknown = dataset.value;
      if (!isPlainObject(input)) return;
      for (const key of Object.keys(input).filter((name) => !keys.includes(name))) {
        const meant = closestName(key, keys);
        const hint = OTHER_WORDS[key] ?? (meant === undefined ? undefined : `did you mean '${meant}'?`);
        addIssue({
          message: `is no known key; ${hint ?? `known here: ${keys.join(', ')}`}`,
          path: [{ type: 'object', origin: 'key', input: { ...input }, key, value: input[key] }],
        });
      }
    }),
  );
}

/** An object whose keys are names that a person chose. */
function named<Value extends v.GenericSchema>(
  what: string,
  nameProblem: (name: string) => string | undefined,
  value: Value,
) {
  return v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(isPlainObject, ({ input }) => wanted(what, input)),
    v.record(judgedText('a name', nameProblem), value),
    v.rawCheck(({ dataset, addIssue }) => {
      if (isPlainObject(dataset.value) && Object.keys(dataset.value).length === 0) {
        addIssue({ message: `is empty; write ${what}` });
      }
    }),
  );
}

function list<Item extends v.GenericSchema>(what: string, item: Item) {
  return v.pipe(
    v.array(item, ({ input }) => wanted(what, input)),
    v.rawCheck(({ dataset, addIssue }) => {
      if (Array.isArray(dataset.value) && dataset.value.length === 0)
        addIssue({ message: `is empty; write ${what}` });
    }),
  );
}

const DATABASE_LIST = "a list of databases' names, such as ['reports']";
const TABLE_LIST = "a list of tables, such as ['public.orders', 'shop.*']";
const PATTERN_LIST = "a list of tables and patterns, such as ['public.log_*']";
const DATABASES = "the databases by name, such as { shop: { engine: 'postgres', url: env('SHOP_URL') } }";
const SYNCS =
  "the syncs by name, such as { orders: { sources: ['shop'], targets: ['reports'], tables: ['public.*'] } }";
const ENGINE = "engine: 'postgres'";

function engineProblem(input: unknown): string | undefined {
  if (input === 'postgres') return undefined;
  if (typeof input !== 'string') return wanted("'postgres'", input);
  const asked = input.toLowerCase();
  const known = LATER_ENGINE_NAMES[asked] ?? closestName(asked, ['postgres', ...LATER_ENGINES]);
  if (known === 'postgres' || ['postgresql', 'pg', 'aurora', 'rds'].includes(asked)) {
    return `is no known engine; write ${ENGINE}`;
  }
  return known === undefined
    ? `is no known engine; write ${ENGINE}, the only one so far`
    : `names ${known}, which is not supported yet; only Postgres can be a source or target so far`;
}

function oneOf<const Value extends string>(values: readonly Value[]) {
  const choice = values.map((value) => `'${value}'`).join(', ');
  return judgedText<Value>(`one of ${choice}`, (text) => {
    if (values.some((value) => value === text)) return undefined;
    const meant = closestName(text, values);
    return `must be one of ${choice}${meant === undefined ? '' : `; did you mean '${meant}'?`}`;
  });
}

const flag = judged<boolean>((input) =>
  typeof input === 'boolean' ? undefined : wanted('true or false', input),
);

const batchRows = judged<number>((input) =>
  typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= GREATEST_BATCH_ROWS
    ? undefined
    : `must be a whole number from 1 to ${GREATEST_BATCH_ROWS}`,
);

const relationText = judgedText("'schema.table'", (text) => {
  const parsed = parseSelector(text);
  return 'problem' in parsed ? parsed.problem : undefined;
});

function namesProblem(input: unknown): string | undefined {
  const good = Array.isArray(input) && input.length > 0 && input.every((name) => typeof name === 'string');
  return good ? undefined : "must be a list of columns' names, such as ['id', 'total']";
}

function renameProblem(input: unknown): string | undefined {
  const good =
    typeof input === 'string' ||
    (isPlainObject(input) && Object.values(input).every((name) => typeof name === 'string'));
  return good ? undefined : wanted("a name, or names by target, such as { reports: 'order' }", input);
}

function filterProblem(input: unknown): string | undefined {
  return typeof input === 'string' && input.trim() !== ''
    ? undefined
    : wanted('an SQL condition as text', input === '' ? undefined : input);
}

const relationObject = section(
  "a table such as { table: 'public.orders' }",
  {
    table: relationText,
    columns: later('every column is replicated', namesProblem),
    as: later('a table has the same name everywhere', renameProblem),
    where: later('every row is replicated', filterProblem),
    capture: v.optional(oneOf(['row'])),
    conflict: later('it comes with several sources'),
  },
  { table: "table: 'schema.table'" },
);

/** A relation that nothing is wrong with; what is not supported yet is not in it. */
export type ValidRelation = string | { readonly table: string; readonly capture?: 'row' | undefined };

const relation = v.lazy((input: unknown): v.GenericSchema<unknown, ValidRelation> => {
  if (typeof input === 'string') return relationText;
  if (isPlainObject(input)) return relationObject;
  return judged<string>(() => wanted("'schema.table' or { table: 'schema.table' }", input));
});

const database = section(
  "an object such as { engine: 'postgres', url: env('SHOP_URL') }",
  {
    engine: judged<'postgres'>(engineProblem),
    url: judged<ValueRef | string>(urlProblem),
    wake: v.optional(oneOf(['notify', 'poll'])),
  },
  { engine: ENGINE, url: "url: env('NAME'), url: secret('id') or a URL without a password" },
);

const sync = section(
  "an object such as { sources: ['shop'], targets: ['reports'], tables: ['public.*'] }",
  {
    sources: list(
      DATABASE_LIST,
      judgedText("a database's name", () => undefined),
    ),
    targets: list(
      DATABASE_LIST,
      judgedText("a database's name", () => undefined),
    ),
    tables: list(TABLE_LIST, relation),
    exclude: v.optional(v.array(relationText, ({ input }) => wanted(PATTERN_LIST, input))),
    schedule: v.optional(
      judgedText<Schedule>("a schedule such as 'rate(5 minutes)'", (text) => scheduleProblem(text)),
    ),
    autokick: v.optional(flag),
    copy: v.optional(oneOf(COPY_POLICIES)),
    batchRows: v.optional(batchRows),
    conflict: later('it comes with several sources'),
    hooks: later('rows arrive as they are'),
  },
  {
    sources: `sources: ['NAME'], the database that is read`,
    targets: `targets: ['NAME', …], the databases that are written`,
    tables: `tables: ['schema.table', 'schema.*']`,
  },
);

/** The default export of bucardo.config.ts. */
export const fleetSchema = section(
  'an object made by defineConfig({ databases: { … }, syncs: { … } })',
  {
    fleet: v.optional(judgedText("a name such as 'bucardo'", fleetNameProblem)),
    databases: named(DATABASES, databaseNameProblem, database),
    syncs: named(SYNCS, syncNameProblem, sync),
  },
  { databases: `databases, ${DATABASES}`, syncs: `syncs, ${SYNCS}` },
);

/** What the schema gives once nothing is wrong. */
export type ValidFleet = v.InferOutput<typeof fleetSchema>;
