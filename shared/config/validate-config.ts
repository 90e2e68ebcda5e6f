/**
 * From what bucardo.config.ts exports to the fleet that the program works with: every default filled in, every relation
 * parsed. Reports all problems at once.
 */
import * as v from 'valibot';
import { BucardoError, type Problem } from '../errors/bucardo-error.ts';
import { toAwsSettings } from './aws-settings.ts';
import { configPath } from './config-path.ts';
import { crossProblems } from './cross-checks.ts';
import { parseSelector } from './relations.ts';
import { fleetSchema, type ValidFleet, type ValidRelation } from './schema.ts';
import type { AwsConfig, Database, Fleet, RelationSelector, Schedule, Sync } from './types.ts';

const DEFAULT_FLEET = 'bucardo';
/** Large enough to keep the COPY path busy, small enough to end well within a function's time. */
const DEFAULT_BATCH_ROWS = 100_000;

/**
 * @param input the file's default export
 * @param file for the message only
 * @throws BUC-CONFIG-INVALID with all problems
 */
export function validateConfig(input: unknown, file: string): Fleet {
  const result = v.safeParse(fleetSchema, input);
  const problems = [...(result.issues ?? []).map(problemOf), ...crossProblems(input)];
  if (!result.success || problems.length > 0) {
    throw new BucardoError('BUC-CONFIG-INVALID', {
      detail: `${problems.length} in ${file}`,
      problems,
      remedy: `Correct ${problems.length === 1 ? 'the listed path' : 'each listed path'} and run the command again.`,
    });
  }
  return toFleet(result.output);
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const path = configPath((issue.path ?? []).map(({ key }) => key));
  return { path: path === '' ? '(default export)' : path, text: issue.message };
}

function toFleet({ fleet, databases, syncs, aws }: ValidFleet): Fleet {
  return {
    name: fleet ?? DEFAULT_FLEET,
    databases: new Map(
      Object.entries(databases).map(([name, { wake, ...database }]): [string, Database] => [
        name,
        { name, ...database, wake: wake ?? 'auto' },
      ]),
    ),
    syncs: new Map(Object.entries(syncs).map(([name, sync]) => [name, toSync(name, sync)])),
    aws: toAwsSettings((aws ?? {}) as AwsConfig),
  };
}

function toSync(name: string, config: ValidFleet['syncs'][string]): Sync {
  const [source = ''] = config.sources;
  return {
    name,
    source,
    targets: config.targets,
    include: config.tables.map(toSelector),
    exclude: (config.exclude ?? []).map(namesOf),
    schedule: config.schedule === undefined ? undefined : tidy(config.schedule),
    autokick: config.autokick ?? true,
    copy: config.copy ?? 'if-empty',
    batchRows: config.batchRows ?? DEFAULT_BATCH_ROWS,
    lagAlarmSeconds: config.lagAlarmSeconds,
  };
}

function toSelector(relation: ValidRelation): RelationSelector {
  return typeof relation === 'string'
    ? { ...namesOf(relation), capture: 'auto' }
    : { ...namesOf(relation.table), capture: relation.capture ?? 'auto' };
}

function namesOf(text: string): Omit<RelationSelector, 'capture'> {
  const parsed = parseSelector(text);
  // The schema has refused such texts before.
  if ('problem' in parsed) throw new BucardoError('BUC-UNEXPECTED', { detail: parsed.problem });
  return parsed.selector;
}

/** As EventBridge takes it: no space around it, single ones within. */
function tidy(schedule: Schedule): Schedule {
  return schedule.trim().replaceAll(/\s+/g, ' ') as Schedule;
}
