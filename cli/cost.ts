/** `bucardo cost`: about what the fleet of this configuration costs a month on AWS. */
import process from 'node:process';
import { type Command, InvalidArgumentError } from 'commander';
import { type Cost, costOf, type CostLine, sumOf } from './cost/model.ts';
import { PRICES_AS_OF } from './cost/prices.ts';
import { readFleet } from './read-fleet.ts';
import { formatCount, formatTable } from './table.ts';

interface CostOptions {
  readonly changesPerMonth: number;
  readonly changesPerKick: number;
  readonly json?: true;
}

export function registerCost(program: Command): void {
  program
    .command('cost')
    .description('estimate what this fleet costs a month on AWS, by list prices')
    .option('--changes-per-month <number>', 'changed rows, each sent to every lane', parseAmount, 1_000_000)
    .option(
      '--changes-per-kick <number>',
      'changes that arrive together, in a transaction or a burst',
      parseAmount,
      50,
    )
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  bucardo cost --changes-per-month 20000000')
    .action(async (options: CostOptions, command: Command) => {
      const { fleet } = await readFleet(command);
      const cost = costOf(fleet, options);
      process.stdout.write(`${options.json === true ? JSON.stringify(cost, null, 2) : textOf(cost)}\n`);
    });
}

function textOf({ notifier, standing, running, dollarsPerMillionChanges }: Cost): string {
  const parts: readonly (readonly [string, readonly CostLine[]])[] = [
    ['Notifier', notifier],
    ['Standing', standing],
    ['Changes', running],
  ];
  const total = parts.reduce((sum, [, lines]) => sum + sumOf(lines), 0);
  return [
    ...formatTable(
      [
        { title: 'a month', align: 'left' },
        { title: 'quantity', align: 'right' },
        { title: '', align: 'left' },
        { title: '$', align: 'right' },
      ],
      parts.flatMap(([title, lines]) => [
        ...lines.map(({ item, quantity, unit, dollars }) => [
          item,
          quantity < 10 ? quantity.toFixed(2) : formatCount(Math.round(quantity)),
          unit,
          dollars.toFixed(2),
        ]),
        [`= ${title}`, '', '', sumOf(lines).toFixed(2)],
      ]),
    ),
    '',
    `In all $${total.toFixed(2)} a month; the changes cost $${dollarsPerMillionChanges.toFixed(3)} a million.`,
    `List prices of us-east-1 as of ${PRICES_AS_OF}, without free tiers; docs/cost.md tells what is assumed.`,
  ].join('\n');
}

function parseAmount(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 1) throw new InvalidArgumentError('not a number from 1 on.');
  return value;
}
