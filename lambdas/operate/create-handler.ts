/** The operate function: answers a person's commands from inside the network, where the sources can be reached. */
import { functionError } from '../../shared/errors/function-error.ts';
import { type LanesAnswer, operate, type OperateContext } from '../../shared/status/operate.ts';
import type { FleetStatus } from '../../shared/status/read-fleet-status.ts';
import { errorFields, type Log } from '../../shared/telemetry/log.ts';
import { parseOperateRequest } from './parse-request.ts';

export interface OperateHandlerOptions extends OperateContext {
  readonly log: Log;
}

export function createOperateHandler({
  log,
  ...context
}: OperateHandlerOptions): (event: unknown) => Promise<FleetStatus | LanesAnswer> {
  return async (event) => {
    try {
      const request = parseOperateRequest(event);
      const answer = await operate(request, context);
      // Looking is no news; what changes something is.
      if (request.command !== 'status') log('info', 'operate.done', { ...request });
      return answer;
    } catch (error) {
      log('error', 'operate.failed', errorFields(error));
      throw functionError(error);
    }
  };
}
