/**
 * Ways between the syncs on which a change would be delivered twice or not at all, decided by what the databases say: which names
 * stand for one database, and which tables the syncs really have, partitions included. The configuration's own checks have
 * refused what names and patterns show. Pure.
 */
import type { Sync } from '../config/types.ts';
import { type Finding, note } from './finding.ts';

/** A sync with what its source has for it. */
export interface RoutedSync {
  readonly sync: Sync;
  /** Display names of its tables, each with those of its partitions. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
}

/** @param identities of the databases that answered, by their names in the configuration: equal for one database */
export function findRoutes(
  routed: readonly RoutedSync[],
  identities: ReadonlyMap<string, string>,
): readonly Finding[] {
  const isSame = (a: string, b: string): boolean =>
    a === b || (identities.has(a) && identities.get(a) === identities.get(b));
  return [
    ...findAliases(routed, isSame),
    ...routed.flatMap((later, index) =>
      routed
        .slice(0, index)
        .flatMap((earlier) => [
          ...findTwice(earlier, later, isSame),
          ...findCascade(earlier, later, isSame),
          ...findCascade(later, earlier, isSame),
        ]),
    ),
  ];
}

type IsSame = (a: string, b: string) => boolean;

/** Two targets of one sync are an error: its lanes would overwrite each other. A source among its own targets is found elsewhere. */
function findAliases(routed: readonly RoutedSync[], isSame: IsSame): readonly Finding[] {
  const names = [...new Set(routed.flatMap(({ sync }) => [sync.source, ...sync.targets]))];
  return names.flatMap((name, index) => {
    const known = names.slice(0, index).find((other) => isSame(other, name));
    if (known === undefined) return [];
    const twice = routed.find(({ sync }) => sync.targets.includes(name) && sync.targets.includes(known));
    return [
      note(
        twice === undefined ? 'warning' : 'error',
        'same-database',
        { database: name, ...(twice === undefined ? {} : { sync: twice.sync.name }) },
        `this is the very database that ${known} is`,
        `Name the database ${known} everywhere, or correct one of the two URLs.`,
      ),
    ];
  });
}

function findTwice(earlier: RoutedSync, later: RoutedSync, isSame: IsSame): readonly Finding[] {
  const target = later.sync.targets.find((name) => earlier.sync.targets.some((other) => isSame(other, name)));
  if (target === undefined) return [];
  return sharedTables(earlier, later).map(({ relation, other }) =>
    note(
      'error',
      'delivered-twice',
      { sync: later.sync.name, database: target, relation },
      `sync ${earlier.sync.name} writes ${other === relation ? 'the table' : other} here too, and they would overwrite each other’s rows`,
      'Leave the table to one of the two syncs (`exclude`).',
    ),
  );
}

function findCascade(first: RoutedSync, second: RoutedSync, isSame: IsSame): readonly Finding[] {
  const between = first.sync.targets.find((name) => isSame(name, second.sync.source));
  if (between === undefined) return [];
  return sharedTables(first, second).map(({ relation, other }) =>
    note(
      'error',
      'cascade',
      { sync: second.sync.name, database: second.sync.source, relation },
      `${other === relation ? 'the table' : other} comes here by sync ${first.sync.name}, and rows that a sync writes do not travel on`,
      `Send the table from ${first.sync.source} directly, and take it out of this sync.`,
    ),
  );
}

/** Tables of `later` that are tables, partitions or parents of partitions of `earlier`. */
function sharedTables(
  earlier: RoutedSync,
  later: RoutedSync,
): readonly { readonly relation: string; readonly other: string }[] {
  const owners = new Map(
    [...earlier.tables].flatMap(([table, partitions]) =>
      [table, ...partitions].map((name) => [name, table] as const),
    ),
  );
  return [...later.tables].flatMap(([relation, partitions]) => {
    const met = [relation, ...partitions].find((name) => owners.has(name));
    const other = met === undefined ? undefined : owners.get(met);
    return other === undefined ? [] : [{ relation, other }];
  });
}
