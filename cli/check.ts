/** `bucardo check`: connects to every database of the configuration and reports everything that is wrong there. */
import process from 'node:process';
import type { Command } from 'commander';
import { checkFleet } from '../shared/check/check-fleet.ts';
import { countOf } from '../shared/check/finding.ts';
import { reportJson, reportText, summaryText } from '../shared/check/report-text.ts';
import { resolveUrl } from '../shared/config/secrets.ts';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import { readFleet } from './read-fleet.ts';

export function registerCheck(program: Command): void {
  program
    .command('check')
    .description('connect to every database and report what is wrong or missing; changes nothing')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', '\nExample:\n  bucardo check --json | jq \'.[] | select(.severity == "error")\'')
    .action(async (options: { readonly json?: true }, command: Command) => {
      const { fleet } = await readFleet(command);
      const findings = await checkFleet({ fleet, resolveUrl });
      const text = options.json === true ? reportJson(findings) : reportText(fleet, findings);
      process.stdout.write(`${text}\n`);
      if (countOf(findings, 'error') > 0)
        throw new BucardoError('BUC-CHECK-FAILED', { detail: summaryText(findings) });
    });
}
