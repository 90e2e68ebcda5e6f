/**
 * Names of what is installed for a relation. Delta tables are named as Bucardo 5 names them, so that people and a takeover
 * find what they know. Two relations never share a name: where Bucardo's rule maps them to one, the later gets a hash.
 */
import { createHash } from 'node:crypto';
import { displayRelation, quoteRelation, type RelationName } from '../postgres/identifiers.ts';

/** NAMEDATALEN - 1: Postgres cuts longer names there, at a character's boundary. */
const NAME_BYTES = 63;
/** Bucardo leaves names of up to this many characters as they are. */
const BUCARDO_CHARACTERS = 57;
/** What Bucardo keeps of a longer name, before `!` and ten digits of its md5. */
const BUCARDO_KEPT_CHARACTERS = 46;
const HASH_DIGITS = 10;

/** The name that Bucardo gives to a relation's delta table, as the server stores it (unquoted, cut to 63 bytes). */
export function bucardoDeltaName({ schema, table }: RelationName): string {
  const full = `${schema}_${table}`.replaceAll('.', '_');
  const characters = Array.from(full);
  const name =
    characters.length <= BUCARDO_CHARACTERS
      ? full
      : `${characters.slice(0, BUCARDO_KEPT_CHARACTERS).join('')}!${hash(full)}`;
  return cutToBytes(`delta_${name.replaceAll('"', '')}`, NAME_BYTES);
}

/** The name for a relation whose Bucardo name is taken: distinct for distinct relations, never cut by the server. */
export function distinctDeltaName(relation: RelationName): string {
  const name = `${relation.schema}_${relation.table}`.replaceAll('.', '_').replaceAll('"', '');
  const kept = Array.from(name).slice(0, BUCARDO_KEPT_CHARACTERS).join('');
  const suffix = `!${hash(quoteRelation(relation))}`;
  return `${cutToBytes(`delta_${kept}`, NAME_BYTES - suffix.length)}${suffix}`;
}

/**
 * Delta names for relations that have none yet, by `displayRelation`. Relations are served by schema and table, so that
 * the result does not depend on the order of the configuration.
 *
 * @param taken names that exist in schema bucardo, whoever made them
 */
export function chooseDeltaNames(
  relations: readonly RelationName[],
  taken: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const used = new Set(taken);
  const chosen = new Map<string, string>();
  for (const relation of [...relations].sort(bySchemaAndTable)) {
    const plain = bucardoDeltaName(relation);
    const name = used.has(plain) ? distinctDeltaName(relation) : plain;
    used.add(name);
    chosen.set(displayRelation(relation), name);
  }
  return chosen;
}

/** The trigger function that belongs to a delta table. One to one: too long names carry a hash of the delta's. */
export function captureFunctionName(deltaName: string): string {
  const name = `capture_${stem(deltaName)}`;
  if (Buffer.byteLength(name) <= NAME_BYTES) return name;
  const suffix = `!${hash(deltaName)}`;
  return `${cutToBytes(name, NAME_BYTES - suffix.length)}${suffix}`;
}

/** The index on a delta table's `txid`; outside of the delta tables' own names. */
export function txidIndexName(deltaName: string): string {
  return `txid_${stem(deltaName)}`;
}

/** Ten hex digits that tell relations apart, for names that must not meet on one table. */
export function relationHash(relation: RelationName): string {
  return hash(quoteRelation(relation));
}

export function bySchemaAndTable(a: RelationName, b: RelationName): number {
  return compare(a.schema, b.schema) || compare(a.table, b.table);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function stem(deltaName: string): string {
  return deltaName.slice('delta_'.length);
}

function hash(text: string): string {
  return createHash('md5').update(text).digest('hex').slice(0, HASH_DIGITS);
}

/** The longest start of `text` that has at most `bytes` bytes in UTF-8 and ends between characters. */
function cutToBytes(text: string, bytes: number): string {
  let length = 0;
  let kept = '';
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    kept += character;
  }
  return kept;
}
