/**
 * Brings a source to what the configuration wants. Safe under load and to repeat: one table at a time, each in a short
 * transaction; killed anywhere, the next `apply` does the rest.
 */
import type { Connection } from '../postgres/connection.ts';
import { withCaptureLock } from './capture-lock.ts';
import { planSource, type SourcePlan } from './plan-source.ts';
import { runSteps, type StepSettings } from './run-steps.ts';

/**
 * The plan is made again under the lock, so what another `apply` did since is not done twice.
 *
 * @returns what was done
 * @throws the plan's first problem, before anything is changed; BUC-DB-LOCKED, BUC-DB-RIGHTS and what else a step meets
 */
export async function applyPlan(
  db: Connection,
  plan: SourcePlan,
  settings: StepSettings,
): Promise<SourcePlan> {
  return await withCaptureLock(db, async () => {
    const current = await planSource(db, plan.request);
    const [problem] = current.problems;
    if (problem !== undefined) throw problem;
    await runSteps(db, current.steps, settings);
    return current;
  });
}
