/** What a fleet costs a month: what is there whatever happens, and what each run of a lane adds. Pure. */
import { lanesOf } from '../../shared/config/lanes.ts';
import type { Fleet } from '../../shared/config/types.ts';
import { HOURS_PER_MONTH, PRICES } from './prices.ts';

export interface Usage {
  readonly changesPerMonth: number;
  /** Changes that one kick brings over: those of its transaction, and of others that commit while it is coalesced. */
  readonly changesPerKick: number;
}

export interface CostLine {
  readonly item: string;
  readonly quantity: number;
  readonly unit: string;
  readonly dollars: number;
}

export interface Cost {
  /** The notifier, with its network. */
  readonly notifier: readonly CostLine[];
  /** What else is there by the month. */
  readonly standing: readonly CostLine[];
  /** What the changes cost. */
  readonly running: readonly CostLine[];
  readonly dollarsPerMillionChanges: number;
}

/** Sending, receiving, a sign of life, deleting. */
const SQS_REQUESTS_PER_RUN = 4;

/** A short run on a warm function: 5 ms of its own when idle, 30 to 100 ms with rows (see `seconds` in the log). */
const RUN_SECONDS = 0.05;
const RUN_GIB = 0.5;

/** Each thousand rows of a run take about this much longer. */
const SECONDS_PER_THOUSAND_ROWS = 0.01;

/** One event, one measurement, and Lambda's own three lines. */
const LOG_BYTES_PER_RUN = 1_200;

/** The notifier kicks a lane four times a second at most, whatever is written. */
const MOST_KICKS_PER_SECOND = 4;

const SWEEP_SECONDS = 0.2;
const SWEEP_GIB = 0.25;
const SWEEPS_PER_MONTH = HOURS_PER_MONTH * 60;
const LOG_BYTES_PER_SWEEP = 1_500;

/** Lambda asks a queue with five long polls of twenty seconds, whether anything comes or not. */
const POLLS_PER_MONTH = (5 * HOURS_PER_MONTH * 3_600) / 20;
const QUEUES = 2;

const FLEET_METRICS = 9;
const FLEET_ALARMS = 19;

/** Two zones each. */
const ZONES = 2;

export function costOf(fleet: Fleet, usage: Usage): Cost {
  const lanes = lanesOf(fleet).length;
  const running = runningCost(lanes, usage);
  return {
    notifier: notifierCost(fleet),
    standing: standingCost(fleet),
    running,
    dollarsPerMillionChanges: (sumOf(running) / usage.changesPerMonth) * 1e6,
  };
}

export function sumOf(lines: readonly CostLine[]): number {
  return lines.reduce((sum, { dollars }) => sum + dollars, 0);
}

/** Changes are taken to reach every lane. */
function runningCost(lanes: number, { changesPerMonth, changesPerKick }: Usage): readonly CostLine[] {
  const most = MOST_KICKS_PER_SECOND * HOURS_PER_MONTH * 3_600;
  const kicks = Math.min(changesPerMonth / changesPerKick, most);
  const runs = kicks * lanes;
  const rowsPerRun = changesPerMonth / kicks;
  const gibSeconds = runs * RUN_GIB * (RUN_SECONDS + (rowsPerRun / 1_000) * SECONDS_PER_THOUSAND_ROWS);
  return [
    line('SQS requests of kicks', runs * SQS_REQUESTS_PER_RUN, 'requests', PRICES.sqsRequest),
    line('replicate, time', gibSeconds, 'GiB·s', PRICES.lambdaGibSecond),
    line('replicate, invocations', runs, 'requests', PRICES.lambdaRequest),
    line('logs of runs', (runs * LOG_BYTES_PER_RUN) / 1e9, 'GB', PRICES.logsGb),
  ];
}

function notifierCost({ aws: { notifier, network } }: Fleet): readonly CostLine[] {
  if (notifier === 'none') return [];
  return [
    line('notifier, a quarter of a processor', 0.25 * HOURS_PER_MONTH, 'vCPU·h', PRICES.fargateCpuHour),
    line('notifier, half a GB', 0.5 * HOURS_PER_MONTH, 'GB·h', PRICES.fargateGbHour),
    ...(network === 'public'
      ? [line('its public address', HOURS_PER_MONTH, 'h', PRICES.publicAddressHour)]
      : []),
  ];
}

function standingCost(fleet: Fleet): readonly CostLine[] {
  const { network, notifier, events } = fleet.aws;
  const ownAlarms = lanesOf(fleet).filter(
    ({ sync }) => fleet.syncs.get(sync)?.lagAlarmSeconds !== undefined,
  ).length;
  const sweeps = SWEEPS_PER_MONTH * SWEEP_GIB * SWEEP_SECONDS;
  // Queue, logs, secrets; events; two for images.
  const endpoints = 3 + (events ? 1 : 0) + (notifier === 'fargate' ? 2 : 0);
  const created = typeof network === 'object' && 'create' in network ? network.create : undefined;
  return [
    line('SQS requests of idle queues', POLLS_PER_MONTH * QUEUES, 'requests', PRICES.sqsRequest),
    line('sweep, time', sweeps, 'GiB·s', PRICES.lambdaGibSecond),
    line('sweep, invocations', SWEEPS_PER_MONTH, 'requests', PRICES.lambdaRequest),
    line('logs of sweeps', (SWEEPS_PER_MONTH * LOG_BYTES_PER_SWEEP) / 1e9, 'GB', PRICES.logsGb),
    line('metrics', FLEET_METRICS + ownAlarms, 'metrics', PRICES.metricMonth),
    line('alarms', FLEET_ALARMS + ownAlarms, 'alarms', PRICES.alarmMonth),
    line('dashboard', 1, 'dashboard', PRICES.dashboardMonth),
    ...(created === 'nat' ? [line('NAT gateway', HOURS_PER_MONTH, 'h', PRICES.natHour)] : []),
    ...(created === 'endpoints'
      ? [line('interface endpoints', endpoints * ZONES * HOURS_PER_MONTH, 'h', PRICES.endpointHour)]
      : []),
  ];
}

function line(item: string, quantity: number, unit: string, price: number): CostLine {
  return { item, quantity, unit, dollars: quantity * price };
}
