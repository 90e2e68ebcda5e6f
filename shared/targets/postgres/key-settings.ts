/**
 * Settings under which a key's text at the target is what the source writes. Users' code at the target sees the role's own settings
 * otherwise (`write-settings.ts`); here it is more important that no row is taken for another one.
 */
import type { Connection } from '../../postgres/connection.ts';
import type { RelationPlan } from '../../replicate/relation-plan.ts';

const SETTINGS: Readonly<Record<string, string>> = {
  datestyle: 'ISO, YMD',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
};

const SET = Object.entries(SETTINGS)
  .map(([name, value]) => `set local ${name} = '${value}'`)
  .join('; ');

const RESET = Object.keys(SETTINGS)
  .map((name) => `set local ${name} to default`)
  .join('; ');

/** Runs a step of a relation; after an error the caller rolls back, and the settings with it. */
export async function underKeySettings<Result>(
  db: Connection,
  { exactKey }: RelationPlan,
  step: () => Promise<Result>,
): Promise<Result> {
  if (!exactKey) return await step();
  await db.script(SET);
  const result = await step();
  await db.script(RESET);
  return result;
}
