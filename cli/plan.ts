/** `bucardo plan` and `bucardo apply`: what the sources lack, and bringing them there. */
import process from 'node:process';
import type { Command } from 'commander';
import { eachSource } from '../shared/capture/each-source.ts';
import { applyPlan } from '../shared/capture/apply-plan.ts';
import { planSource, type SourcePlan } from '../shared/capture/plan-source.ts';
import { withFleetDatabase } from '../shared/config/with-fleet-database.ts';
import { prepareTargets, type TargetOutcome, WITHOUT_LANE_TABLE } from '../shared/targets/lane-tables.ts';
import { jsonLog } from '../shared/telemetry/log.ts';
import { readFleet } from './read-fleet.ts';

interface PlanOptions {
  readonly sql?: true;
  readonly json?: true;
}

export function registerPlan(program: Command): void {
  program
    .command('plan')
    .description('show what `bucardo apply` would do on the sources; changes nothing')
    .option('--sql', 'print the SQL')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  bucardo plan --sql > review.sql')
    .action(async (options: PlanOptions, command: Command) => {
      const { fleet } = await readFleet(command);
      const plans = await eachSource(fleet, withFleetDatabase(fleet, 'command'), planSource);
      print(plans, options, 'would');
      if (plans.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
    });
}

export function registerApply(program: Command): void {
  program
    .command('apply')
    .description(
      'install on the sources what capturing needs: one table at a time, safe under load, safe to repeat',
    )
    .option('--sql', 'print the SQL that was run')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  bucardo plan && bucardo apply')
    .action(async (options: PlanOptions, command: Command) => {
      const { fleet } = await readFleet(command);
      // Waiting for a lock is the only thing worth telling while it goes on.
      const log = jsonLog((line) => process.stderr.write(line), 'warn');
      // Problems of any source end the command before the first source is touched.
      const plans = await eachSource(fleet, withFleetDatabase(fleet, 'command'), planSource);
      if (plans.some(({ problems }) => problems.length > 0)) {
        print(plans, options, 'would');
        process.exitCode = 1;
        return;
      }
      const done = await eachSource(fleet, withFleetDatabase(fleet, 'command'), async (source, request) =>
        applyPlan(source, await planSource(source, request), { log }),
      );
      print(done, options, 'did');
      for (const outcome of await prepareTargets(fleet, withFleetDatabase(fleet, 'command'))) {
        tellTarget(outcome, options);
      }
    });
}

/** Said beside the sources' report, which has its form. */
function tellTarget({ target, done, problem }: TargetOutcome, { sql, json }: PlanOptions): void {
  if (problem !== undefined) {
    process.stderr.write(
      `Target ${target}: the table bucardo.lane could not be made; ${WITHOUT_LANE_TABLE}\n${problem.toText()}\n`,
    );
  }
  if (done && json !== true) {
    process.stdout.write(`\n${sql === true ? '-- ' : ''}Target ${target}: made the table bucardo.lane\n`);
  }
}

function print(plans: readonly SourcePlan[], { sql, json }: PlanOptions, tense: 'would' | 'did'): void {
  if (json === true) process.stdout.write(`${JSON.stringify(plans.map(asJson), null, 2)}\n`);
  else process.stdout.write(`${plans.map((plan) => asText(plan, sql === true, tense)).join('\n\n')}\n`);
}

function asJson({ request, steps, problems }: SourcePlan): object {
  return {
    source: request.database.name,
    steps: steps.map(({ title, relation, sql }) => ({ title, relation, sql })),
    problems: problems.map(({ code, message, remedy }) => ({ code, message, remedy })),
  };
}

/** With `sql` the text is a script: everything else is a comment. */
function asText({ request, steps, problems }: SourcePlan, sql: boolean, tense: 'would' | 'did'): string {
  const { name } = request.database;
  const comment = sql ? '-- ' : '';
  if (problems.length > 0) {
    const lines = problems.flatMap((problem) => problem.toText().split('\n'));
    return [
      `${comment}Source ${name}: nothing is applied before these are mended`,
      ...lines.map((line) => `${comment}${line}`),
    ].join('\n');
  }
  if (steps.length === 0) return `${comment}Source ${name}: nothing to do`;
  const head = `${comment}Source ${name}: ${steps.length} steps${tense === 'would' ? '' : ' done'}`;
  const body = steps.flatMap((step) =>
    sql
      ? [`\n-- ${step.title}`, 'begin;', ...step.sql.map((statement) => `${statement.trim()};`), 'commit;']
      : [`  ${step.title}`],
  );
  return [head, ...body].join('\n');
}
