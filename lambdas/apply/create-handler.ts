/**
 * The apply function: does on all sources what `bucardo apply` does, while CloudFormation deploys. Its invariant: it only adds. A deployment
 * that fails later is rolled back to the former configuration, which finds everything that it knew, with its marks. What a
 * configuration no longer has is taken away by a person's `bucardo apply`.
 */
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { eachSource } from '../../shared/capture/each-source.ts';
import { planSource } from '../../shared/capture/plan-source.ts';
import type { Fleet } from '../../shared/config/types.ts';
import type { WithDatabase } from '../../shared/config/with-fleet-database.ts';
import { asBucardoError, BucardoError } from '../../shared/errors/bucardo-error.ts';
import { prepareTargets } from '../../shared/targets/lane-tables.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import type { CustomResourceAnswer } from './send-answer.ts';

export interface ApplyHandlerOptions {
  readonly fleet: Fleet;
  readonly withDatabase: WithDatabase;
  readonly log: Log;
  /** Tells CloudFormation how it went; until then the deployment waits. */
  readonly sendAnswer: (
    event: CloudFormationCustomResourceEvent,
    answer: CustomResourceAnswer,
  ) => Promise<void>;
  /** How long a table's lock is tried for. */
  readonly giveUpAfterMs: number;
}

export function createApplyHandler(
  options: ApplyHandlerOptions,
): (event: CloudFormationCustomResourceEvent) => Promise<void> {
  const { fleet, withDatabase, log, sendAnswer, giveUpAfterMs } = options;

  async function apply(): Promise<void> {
    // Problems of any source end it before the first source is touched.
    const plans = await eachSource(fleet, withDatabase, (source, request) =>
      planSource(source, { ...request, additive: true }),
    );
    const [problem] = plans.flatMap(({ problems }) => problems);
    if (problem !== undefined) throw problem;
    await eachSource(fleet, withDatabase, async (source, request) => {
      const wanted = await planSource(source, { ...request, additive: true });
      const plan = await applyPlan(source, wanted, { log, giveUpAfterMs });
      log('info', 'apply.source.completed', { database: source.database, steps: plan.steps.length });
    });
    // Lanes work without: a target that is away does not fail a deployment.
    for (const { target, problem } of await prepareTargets(fleet, withDatabase)) {
      if (problem !== undefined) log('warn', 'apply.target.unprepared', { ...errorFields(problem), target });
    }
  }

  return async (event) => {
    let answer: CustomResourceAnswer = { status: 'SUCCESS' };
    try {
      // A stack that goes takes nothing off the sources: what waits there would be lost.
      if (event.RequestType !== 'Delete') await apply();
    } catch (thrown) {
      const error = asBucardoError(thrown);
      log('error', 'apply.failed', errorFields(error));
      answer = { status: 'FAILED', reason: reasonOf(error) };
    }
    await sendAnswer(event, answer);
  };
}

function reasonOf(error: BucardoError): string {
  return `${error.code}: ${error.message} What to do: ${error.remedy}`;
}
