/**
 * The kick function: asks lanes to run, for people, for other functions, and for EventBridge's rules. It waits for the outcome if
 * that is wanted. The kick is in the queue before anything is waited for, so whatever happens to this function, the lanes run.
 */
import type { Context } from 'aws-lambda';
import { findSync, lanesOfSync, pickLanes } from '../../shared/config/lanes.ts';
import type { Fleet, Lane } from '../../shared/config/types.ts';
import { functionError } from '../../shared/errors/function-error.ts';
import type { KickReason } from '../../shared/queue/kick.ts';
import type { KickQueue } from '../../shared/queue/kick-queue.ts';
import { kickAndWait, type LaneOutcome } from '../../shared/status/kick-and-wait.ts';
import type { WithDatabase } from '../../shared/config/with-fleet-database.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import { type KickRequest, parseKickRequest } from './parse-request.ts';

export interface KickHandlerOptions {
  readonly fleet: Fleet;
  readonly queue: Pick<KickQueue, 'send'>;
  readonly withDatabase: WithDatabase;
  readonly log: Log;
}

export interface KickAnswer {
  readonly kicks: readonly { readonly lane: string; readonly messageId: string }[];
  /** If it was waited for. */
  readonly outcomes?: readonly LaneOutcome[];
}

/** Left for the answer when the function's own time ends before the wished one. */
const RESERVE_SECONDS = 5;

export function createKickHandler(
  options: KickHandlerOptions,
): (event: unknown, context: Pick<Context, 'getRemainingTimeInMillis'>) => Promise<KickAnswer> {
  const { fleet, queue, withDatabase, log } = options;

  async function send(lanes: readonly Lane[], reason: KickReason): Promise<KickAnswer['kicks']> {
    const messageIds = await queue.send(lanes.map(({ id }) => ({ lane: id, reason })));
    for (const { sync, destination } of lanes) log('info', 'kick.sent', { sync, destination, reason });
    return lanes.map(({ id }, index) => ({ lane: id, messageId: messageIds[index] ?? '' }));
  }

  async function answer(request: KickRequest, remainingSeconds: () => number): Promise<KickAnswer> {
    if (request.kind === 'schedule') {
      const syncs = [...fleet.syncs.values()].filter(({ schedule }) => schedule === request.schedule);
      return { kicks: await send(syncs.flatMap(lanesOfSync), 'schedule') };
    }
    const lanes = pickLanes(fleet, request.sync, request.to);
    const { waitSeconds } = request;
    if (waitSeconds === undefined) return { kicks: await send(lanes, 'manual') };
    let kicks: KickAnswer['kicks'] = [];
    const sync = findSync(fleet, request.sync);
    const outcomes = await withDatabase(sync.source, (source) =>
      kickAndWait(source, {
        sync,
        lanes,
        send: async () => (kicks = await send(lanes, 'manual')),
        timeoutSeconds: Math.min(waitSeconds, Math.max(0, remainingSeconds() - RESERVE_SECONDS)),
      }),
    );
    return { kicks, outcomes };
  }

  return async (event, context) => {
    try {
      return await answer(parseKickRequest(event), () => context.getRemainingTimeInMillis() / 1000);
    } catch (error) {
      log('error', 'kick.failed', errorFields(error));
      throw functionError(error);
    }
  };
}
