/** Everybody who says how a lane is: `status`, `check` and `kick --wait`, each asked about a fixture's first lane. */
import { statusText } from '../../cli/status-text.ts';
import { checkFleet } from '../../shared/check/check-fleet.ts';
import { withConnection } from '../../shared/postgres/connection.ts';
import { kickAndWait, type LaneOutcome } from '../../shared/status/kick-and-wait.ts';
import { type FleetStatus, readFleetStatus } from '../../shared/status/read-fleet-status.ts';
import { laneState } from '../../shared/status/verdict.ts';
import { type LaneFixture, SOURCE } from './lane-fixture.ts';

export interface Judgement {
  /** `unknown` if nothing is known of the lane. */
  readonly state: string;
  readonly statusText: string;
  /** Errors, warnings and notes about the lane and its tables: `warning BUC-COPY-NEEDED public.item: …`. */
  readonly check: readonly string[];
}

export interface Places {
  /** Where the databases are found, if not where the fixture has them. */
  readonly sourceUrl?: string;
  readonly targetUrl?: string;
}

export async function judge(fixture: LaneFixture, places: Places = {}): Promise<Judgement> {
  const urlOf = (name: string): string =>
    name === SOURCE ? (places.sourceUrl ?? fixture.sourceUrl) : (places.targetUrl ?? fixture.targetUrl(name));
  const status: FleetStatus = await readFleetStatus(fixture.fleet, (name, body) =>
    withConnection({ database: name, url: urlOf(name), purpose: 'test status' }, body),
  );
  const lane = status.lanes.find((one) => one.lane === fixture.lane.id);
  const findings = await checkFleet({
    fleet: fixture.fleet,
    resolveUrl: ({ name }) => Promise.resolve(urlOf(name)),
  });
  return {
    state: lane === undefined ? 'unknown' : laneState(lane),
    statusText: statusText(status.lanes, status.unknown),
    check: findings
      .filter(({ code }) => code !== 'server')
      .map(({ severity, code, relation = '', text }) => `${severity} ${code} ${relation}: ${text}`),
  };
}

/** @param runs what the kick sets off, again and again as a queue does until the outcome is there; undefined: nothing */
export async function kickWait(
  fixture: LaneFixture,
  runs: (() => Promise<unknown>) | undefined,
  timeoutSeconds = 60,
): Promise<LaneOutcome> {
  const over = new AbortController();
  const work = async (): Promise<void> => {
    if (runs === undefined) return;
    do await runs().catch(() => {});
    while (!over.signal.aborted);
  };
  let working: Promise<void> = Promise.resolve();
  const [outcome] = await kickAndWait(fixture.source, {
    sync: fixture.sync,
    lanes: [fixture.lane],
    send: async () => {
      working = work();
    },
    timeoutSeconds,
  });
  over.abort();
  await working;
  if (outcome === undefined) throw new Error('no outcome');
  return outcome;
}
