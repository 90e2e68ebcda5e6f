/** Names of databases, syncs and fleets: which are allowed, and why one is not. */

/** Bucardo's rule: names end up in channel names, and here in message groups too. */
const NAME = /^[a-zA-Z]\w*$/;

/** Two names and a slash make a message group, which SQS allows 128 characters. */
const NAME_LENGTH = 63;

/** Words of Bucardo's own that its commands take in the place of a sync's name. */
const RESERVED_SYNCS = new Set(['pushdelta', 'fullcopy', 'swap', 'sync']);

/** CloudFormation's rule for stack names; the length leaves room for what follows in names of queues and functions. */
const FLEET = /^[a-zA-Z][a-zA-Z0-9-]*$/;
const FLEET_LENGTH = 40;

/** What is wrong with a database's name, or undefined. */
export function databaseNameProblem(name: string): string | undefined {
  if (!NAME.test(name)) {
    return 'is no valid name; begin with a letter and use only letters, digits and underscores (a–z, 0–9, _)';
  }
  if (name.length > NAME_LENGTH) {
    return `is too long a name: ${name.length} characters; use at most ${NAME_LENGTH}`;
  }
  return undefined;
}

/** What is wrong with a sync's name, or undefined. */
export function syncNameProblem(name: string): string | undefined {
  if (RESERVED_SYNCS.has(name.toLowerCase())) {
    return `is a reserved word; choose a name other than ${[...RESERVED_SYNCS].join(', ')}`;
  }
  return databaseNameProblem(name);
}

/** What is wrong with a fleet's name, or undefined. */
export function fleetNameProblem(name: string): string | undefined {
  if (!FLEET.test(name)) {
    return 'is no valid fleet name; begin with a letter and use only letters, digits and hyphens, as AWS stack names do';
  }
  if (name.length > FLEET_LENGTH) {
    return `is too long a fleet name: ${name.length} characters; use at most ${FLEET_LENGTH}`;
  }
  return undefined;
}
