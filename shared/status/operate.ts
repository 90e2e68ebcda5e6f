/**
 * What a person may ask of a fleet, wherever it is answered: the command line does it from here, the operate function from inside
 * the fleet's network.
 */
import { lanesOf, pickLanes } from '../config/lanes.ts';
import type { Fleet, Lane } from '../config/types.ts';
import type { WithDatabase } from '../config/with-fleet-database.ts';
import { BucardoError } from '../errors/bucardo-error.ts';
import type { KickSender } from '../queue/kick-queue.ts';
import { pauseLane, resumeLane } from './pause.ts';
import { type FleetStatus, readFleetStatus, type UnknownLane } from './read-fleet-status.ts';

export type OperateRequest =
  | { readonly command: 'status' }
  | { readonly command: 'pause' | 'resume'; readonly sync: string; readonly to?: string | undefined }
  | { readonly command: 'redrive'; readonly sync?: string | undefined; readonly to?: string | undefined };

/** The lanes that were paused, resumed or kicked. */
export interface LanesAnswer {
  readonly lanes: readonly string[];
  /** Lanes of which it could not be told whether they were to be kicked, if there are any. */
  readonly unknown?: readonly UnknownLane[];
}

export interface OperateContext {
  readonly fleet: Fleet;
  readonly withDatabase: WithDatabase;
  readonly queue: KickSender;
}

export async function operate(
  request: Exclude<OperateRequest, { readonly command: 'status' }>,
  context: OperateContext,
): Promise<LanesAnswer>;
export async function operate(
  request: OperateRequest,
  context: OperateContext,
): Promise<FleetStatus | LanesAnswer>;
export async function operate(
  request: OperateRequest,
  context: OperateContext,
): Promise<FleetStatus | LanesAnswer> {
  const { fleet, withDatabase } = context;
  switch (request.command) {
    case 'status':
      return await readFleetStatus(fleet, withDatabase);
    case 'pause':
      return await pause(pickLanes(fleet, request.sync, request.to), withDatabase);
    case 'resume':
      return await resume(pickLanes(fleet, request.sync, request.to), context);
    case 'redrive':
      return await redrive(request, context);
    default:
      return request satisfies never;
  }
}

/** @throws BUC-NOT-APPLIED */
async function pause(lanes: readonly Lane[], withDatabase: WithDatabase): Promise<LanesAnswer> {
  for (const lane of lanes) await withDatabase(lane.source, (source) => pauseLane(source, lane));
  return named(lanes);
}

/** Also kicks the lanes. @throws BUC-NOT-APPLIED, BUC-QUEUE-FAILED */
async function resume(
  lanes: readonly Lane[],
  { withDatabase, queue }: Pick<OperateContext, 'withDatabase' | 'queue'>,
): Promise<LanesAnswer> {
  for (const lane of lanes) await withDatabase(lane.source, (source) => resumeLane(source, lane));
  await queue.send(lanes.map(({ id }) => ({ lane: id, reason: 'manual' })));
  return named(lanes);
}

/**
 * Kicks lanes whose kick became a dead letter now, instead of at the letter's next try. The letters go by themselves when the
 * lanes are well. @throws BUC-LANE-UNKNOWN, BUC-QUEUE-FAILED
 */
async function redrive(
  { sync, to }: { readonly sync?: string | undefined; readonly to?: string | undefined },
  { fleet, withDatabase, queue }: OperateContext,
): Promise<LanesAnswer> {
  const wanted = sync === undefined ? lanesTo(fleet, to) : pickLanes(fleet, sync, to);
  const { lanes, unknown } = await readFleetStatus(fleet, withDatabase);
  const dead = new Set(
    lanes.filter(({ deadLetterSecondsAgo }) => deadLetterSecondsAgo !== undefined).map(({ lane }) => lane),
  );
  const kicked = wanted.filter(({ id }) => dead.has(id));
  await queue.send(kicked.map(({ id }) => ({ lane: id, reason: 'retry' })));
  const hidden = unknown.filter(({ lane }) => wanted.some(({ id }) => id === lane));
  return hidden.length === 0 ? named(kicked) : { ...named(kicked), unknown: hidden };
}

/** All lanes, or those to a target. @throws BUC-LANE-UNKNOWN if there is none */
function lanesTo(fleet: Fleet, target: string | undefined): readonly Lane[] {
  const lanes = lanesOf(fleet);
  if (target === undefined) return lanes;
  const wanted = lanes.filter(({ destination }) => destination === target);
  if (wanted.length === 0) {
    throw new BucardoError('BUC-LANE-UNKNOWN', { database: target, detail: 'no sync has this target' });
  }
  return wanted;
}

function named(lanes: readonly Lane[]): LanesAnswer {
  return { lanes: lanes.map(({ id }) => id) };
}
