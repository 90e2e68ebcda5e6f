/**
 * What can only be wrong between several parts of the configuration. Works on the raw input, and looks only at parts that
 * have the right kind, so that a mistake in one place hides none in another.
 */
import type { Problem } from '../errors/bucardo-error.ts';
import { closestName } from './closest-name.ts';
import { configPath } from './config-path.ts';
import { isPlainObject } from './kind-of.ts';
import { displaySelector, parseSelector } from './relations.ts';

/** A text of a list, with its place in it. */
interface Item {
  readonly text: string;
  readonly path: string;
}

/** The parts of a sync that other parts refer to. Relations are in their display form. */
interface SyncNames {
  readonly name: string;
  readonly path: string;
  readonly sources: readonly Item[];
  readonly targets: readonly Item[];
  readonly tables: readonly Item[];
  readonly exclude: readonly Item[];
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
    ...syncs.flatMap((later, index) =>
      syncs.slice(0, index).flatMap((earlier) => collisions(earlier, later)),
    ),
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

/** Relations that two syncs would write for each other's readers or over each other's rows. */
function collisions(earlier: SyncNames, later: SyncNames): readonly Problem[] {
  const target = later.targets.find(({ text }) => earlier.targets.some((other) => other.text === text));
  const shared = later.tables.filter(({ text }) => earlier.tables.some((other) => other.text === text));
  if (target !== undefined) {
    return shared.map(({ path, text }) => ({
      path,
      text: `'${text}' is written to '${target.text}' by sync '${earlier.name}' too, and they would overwrite each other's rows; leave the table to one of the two syncs`,
    }));
  }
  const source = later.sources.find(({ text }) => earlier.targets.some((other) => other.text === text));
  const backAgain = later.targets.some(({ text }) => earlier.sources.some((other) => other.text === text));
  if (source !== undefined && backAgain) {
    return shared.map(({ path, text }) => ({
      path,
      text: `'${text}' already comes to '${source.text}' by sync '${earlier.name}', and would be sent back; changes in both directions need conflict handling, which is not supported yet: keep one direction`,
    }));
  }
  return [];
}

function texts(list: unknown, path: string): readonly Item[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((text: unknown, index) =>
    typeof text === 'string' ? [{ text, path: `${path}[${index}]` }] : [],
  );
}

function relations(list: unknown, path: string): readonly Item[] {
  const plain = Array.isArray(list)
    ? list.map((item: unknown) => (isPlainObject(item) ? item['table'] : item))
    : [];
  return texts(plain, path).flatMap((item) => {
    const parsed = parseSelector(item.text);
    return 'problem' in parsed ? [] : [{ path: item.path, text: displaySelector(parsed.selector) }];
  });
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
