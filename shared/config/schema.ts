/**
 * The shape of bucardo.config.ts, key by key. Each message says what is wrong and what to do; none quotes a value that may
 * be secret. What concerns several keys at once is in cross-checks.ts.
 */
import * as v from 'valibot';
import { closestName } from './closest-name.ts';
import { urlProblem } from './database-url.ts';
import { awsSection, lagAlarmProblem } from './aws-schema.ts';
import { LEAST_MAX_CONNECTIONS } from './concurrency.ts';
import { isPlainObject } from './kind-of.ts';
import { databaseNameProblem, fleetNameProblem, syncNameProblem } from './names.ts';
import { parseSelector } from './relations.ts';
import { scheduleProblem } from './schedule.ts';
import { flag, judged, judgedText, section, wanted } from './schema-parts.ts';
import type { CopyPolicy, IamLogin, Schedule, ValueRef } from './types.ts';

/** Bucardo replicates to these too; here they come later. */
const LATER_ENGINES = ['mysql', 'mariadb', 'oracle', 'sqlite', 'mongodb', 'redis'];
const LATER_ENGINE_NAMES: Readonly<Record<string, string>> = { mongo: 'mongodb', drizzle: 'mysql' };

const COPY_POLICIES: readonly CopyPolicy[] = ['if-empty', 'always', 'never'];

/** A batch is one transaction at the destination; more than this holds locks for minutes. */
const GREATEST_BATCH_ROWS = 1_000_000;

/** A key that will have a meaning; accepted by no version so far. */
function later(text: string, shape: (input: unknown) => string | undefined = () => undefined) {
  return v.optional(judged<never>((input) => shape(input) ?? `is not supported yet: ${text}`));
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

const batchRows = judged<number>((input) =>
  typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= GREATEST_BATCH_ROWS
    ? undefined
    : `must be a whole number from 1 to ${GREATEST_BATCH_ROWS}`,
);

const GREATEST_MAX_CONNECTIONS = 10_000;

const maxConnections = judged<number>((input) =>
  typeof input === 'number' &&
  Number.isInteger(input) &&
  input >= LEAST_MAX_CONNECTIONS &&
  input <= GREATEST_MAX_CONNECTIONS
    ? undefined
    : `must be a whole number from ${LEAST_MAX_CONNECTIONS}, with which a fleet can just work, to ${GREATEST_MAX_CONNECTIONS}`,
);

/** Source: the shapes of RDS's resource ids, of instances, clusters and proxies. */
function iamProblem(input: unknown): string | undefined {
  const what = "{ user: 'NAME', resourceId: 'db-…' }";
  if (!isPlainObject(input)) return wanted(what, input);
  const { user, resourceId, ...others } = input;
  if (Object.keys(others).length > 0 || typeof user !== 'string' || user === '') return `must be ${what}`;
  return typeof resourceId === 'string' && /^(db|cluster|prx)-[A-Za-z0-9]+$/.test(resourceId)
    ? undefined
    : `has no resource id; write the instance's, cluster's or proxy's, such as ${what}`;
}

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
    wake: v.optional(oneOf(['auto', 'notify', 'poll'])),
    maxConnections: v.optional(maxConnections),
    iam: v.optional(judged<IamLogin>(iamProblem)),
    securityGroup: v.optional(
      judgedText("a security group's id", (text) =>
        /^sg-[0-9a-f]{8,17}$/.test(text) ? undefined : "names no security group; write 'sg-…'",
      ),
    ),
  },
  {
    engine: ENGINE,
    url: "url: env('NAME'), url: secret('id'), url: parameter('name') or a URL without a password",
  },
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
    lagAlarmSeconds: v.optional(judged<number>(lagAlarmProblem)),
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
    aws: v.optional(awsSection),
  },
  { databases: `databases, ${DATABASES}`, syncs: `syncs, ${SYNCS}` },
);

/** What the schema gives once nothing is wrong. */
export type ValidFleet = v.InferOutput<typeof fleetSchema>;
