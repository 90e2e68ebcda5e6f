/**
 * The apply function: does on all sources what `bucardo apply` does, while CloudFormation deploys. Its invariant: it only adds. A deployment
 * that fails later is rolled back to the former configuration, which finds everything that it knew, with its marks. What a
 * configuration no longer has is taken away by a person's `bucardo apply`.
 */
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { applyPlan } from '../../shared/capture/apply-plan.ts';
import { planSource, type SourceRequest } from '../../shared/capture/plan-source.ts';
import { sourcesOf } from '../../shared/config/lanes.ts';
import type { Database, Fleet } from '../../shared/config/types.ts';
import { asBucardoError, BucardoError } from '../../shared/errors/bucardo-error.ts';
import { type Connection, withConnection } from '../../shared/postgres/connection.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import type { CustomResourceAnswer } from './send-answer.ts';

export interface ApplyHandlerOptions {
  readonly fleet: Fleet;
  readonly resolveUrl: (database: Database) => Promise<string>;
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
  const { fleet, resolveUrl, log, sendAnswer, giveUpAfterMs } = options;

  async function eachSource<Result>(
    body: (source: Connection, request: SourceRequest) => Promise<Result>,
  ): Promise<readonly Result[]> {
    const results: Result[] = [];
    for (const name of sourcesOf(fleet)) {
      const database = fleet.databases.get(name);
      if (database === undefined) continue;
      const request = { database, syncs: [...fleet.syncs.values()], additive: true };
      const url = await resolveUrl(database);
      results.push(
        await withConnection({ database: name, url, purpose: 'apply' }, (source) => body(source, request)),
      );
    }
    return results;
  }

  async function apply(): Promise<void> {
    // Problems of any source end it before the first source is touched.
    const [problem] = (await eachSource(planSource)).flatMap(({ problems }) => problems);
    if (problem !== undefined) throw problem;
    await eachSource(async (source, request) => {
      const plan = await applyPlan(source, await planSource(source, request), { log, giveUpAfterMs });
      log('info', 'apply.source.completed', { database: source.database, steps: plan.steps.length });
    });
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
