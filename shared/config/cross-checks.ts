/**
 * What can only be wrong between several parts of the configuration. Works on the raw input, and looks only at parts that
 * have the right kind, so that a mistake in one place hides none in another.
 */
import type { Problem } from '../errors/bucardo-error.ts';
import type { RelationName } from '../postgres/identifiers.ts';
import { closestName } from './closest-name.ts';
import { configPath } from './config-path.ts';
import { databaseKey } from './database-url.ts';
import { isPlainObject } from './kind-of.ts';
import { displaySelector, parseSelector } from './relations.ts';
import { type Route, routeProblems } from './route-checks.ts';

/** A text of a list, with its place in it. */
interface Item {
  readonly text: string;
  readonly path: string;
}

/** Its text is the display form, in which equal selectors are equal. */
interface SelectorItem extends Item {
  readonly selector: RelationName;
}

/** The parts of a sync that other parts refer to. */
interface SyncNames {
  readonly name: string;
  readonly path: string;
  readonly sources: readonly Item[];
  readonly targets: readonly Item[];
  readonly tables: readonly SelectorItem[];
  readonly exclude: readonly SelectorItem[];
}

export function crossProblems(input: unknown): readonly Problem[] {
  if (!isPlainObject(input)) return [];
  const databases = isPlainObject(input['databases']) ? Object.keys(input['databases']) : undefined;
  const syncs = isPlainObject(input['syncs']) ? namesOf(input['syncs']) : [];
  return [
    ...alarmProblems(input['aws']),
    ...syncs.flatMap((sync) => [
      ...sourceProblems(sync),
      ...(databases === undefined ? [] : unknownDatabases(sync, databases)),
      ...[sync.sources, sync.targets, sync.tables, sync.exclude].flatMap(repeated),
      ...excludedLiterally(sync),
    ]),
    ...aliasProblems(input['databases'], syncs),
    ...routeProblems(syncs.map(routeOf)),
  ];
}

function namesOf(syncs: Readonly<Record<string, unknown>>): readonly SyncNames[] {
  return Object.entries(syncs).flatMap(([name, sync]) => {
    if (!isPlainObject(sync)) return [];
    const path = configPath(['syncs', name]);
    return [
      {
        name,
        path,
        sources: texts(sync['sources'], `${path}.sources`),
        targets: texts(sync['targets'], `${path}.targets`),
        tables: relations(sync['tables'], `${path}.tables`),
        exclude: relations(sync['exclude'], `${path}.exclude`),
      },
    ];
  });
}

/** Only a topic that the fleet makes is its own to subscribe to. */
function alarmProblems(aws: unknown): readonly Problem[] {
  if (!isPlainObject(aws) || aws['alarmEmail'] === undefined || aws['alarmTopicArn'] === undefined) return [];
  return [
    {
      path: 'aws.alarmEmail',
      text: 'is of no effect beside alarmTopicArn, since only a topic of the fleet’s own is subscribed to; keep one of the two',
    },
  ];
}

function sourceProblems({ path, sources, targets }: SyncNames): readonly Problem[] {
  const several =
    sources.length > 1
      ? [
          {
            path: `${path}.sources`,
            text: 'names several sources, which is not supported yet (multi-master comes with merge lanes); name one source, and the others as targets',
          },
        ]
      : [];
  const own = targets
    .filter(({ text }) => sources.some((source) => source.text === text))
    .map((target) => ({
      path: target.path,
      text: `'${target.text}' is a source of the same sync; a database cannot be replicated into itself, take it out of one of the lists`,
    }));
  return [...several, ...own];
}

function unknownDatabases(sync: SyncNames, databases: readonly string[]): readonly Problem[] {
  return [...sync.sources, ...sync.targets]
    .filter(({ text }) => !databases.includes(text))
    .map(({ path, text }) => {
      const meant = closestName(text, databases);
      const hint =
        meant === undefined
          ? `add it to databases or use one of: ${databases.join(', ')}`
          : `did you mean '${meant}'?`;
      return { path, text: `there is no database '${shorten(text)}'; ${hint}` };
    });
}

function repeated(items: readonly Item[]): readonly Problem[] {
  return items
    .filter((item, index) => items.findIndex(({ text }) => text === item.text) !== index)
    .map(({ path, text }) => ({
      path,
      text: `'${shorten(text)}' is in the list already; name it once`,
    }));
}

function excludedLiterally({ tables, exclude }: SyncNames): readonly Problem[] {
  return tables
    .filter(({ text }) => exclude.some((excluded) => excluded.text === text))
    .map(({ path, text }) => ({
      path,
      text: `'${text}' is excluded by the same sync, so it would never be replicated; take it out of one of the lists`,
    }));
}

function routeOf({ name, sources, targets, tables, exclude }: SyncNames): Route {
  return {
    name,
    sources: sources.map(({ text }) => text),
    targets: targets.map(({ text }) => text),
    include: tables.map(({ selector, path }) => ({ ...selector, path })),
    exclude: exclude.map(({ selector }) => selector),
  };
}

/**
 * Everything is known by the database's name: its lanes, their locks, what the syncs deliver twice. So a database has one name
 * among those that syncs use.
 */
function aliasProblems(databases: unknown, syncs: readonly SyncNames[]): readonly Problem[] {
  if (!isPlainObject(databases)) return [];
  const used = new Set(
    syncs.flatMap(({ sources, targets }) => [...sources, ...targets].map(({ text }) => text)),
  );
  const names = new Map<string, string>();
  return Object.entries(databases).flatMap(([name, database]): readonly Problem[] => {
    const key = used.has(name) && isPlainObject(database) ? databaseKey(database['url']) : undefined;
    if (key === undefined) return [];
    const known = names.get(key);
    if (known === undefined) names.set(key, name);
    return known === undefined
      ? []
      : [
          {
            path: `${configPath(['databases', name])}.url`,
            text: `is the database that '${known}' is, and under two names changes would be delivered twice, or into the database that they come from; name it '${known}' everywhere, or correct the URL`,
          },
        ];
  });
}

function texts(list: unknown, path: string): readonly Item[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((text: unknown, index) =>
    typeof text === 'string' ? [{ text, path: `${path}[${index}]` }] : [],
  );
}

function relations(list: unknown, path: string): readonly SelectorItem[] {
  const plain = Array.isArray(list)
    ? list.map((item: unknown) => (isPlainObject(item) ? item['table'] : item))
    : [];
  return texts(plain, path).flatMap((item) => {
    const parsed = parseSelector(item.text);
    if ('problem' in parsed) return [];
    const { selector } = parsed;
    return [{ path: item.path, text: displaySelector(selector), selector }];
  });
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
