/** What the operate function may be asked for. Pure. */
import { BucardoError } from '../../shared/errors/bucardo-error.ts';
import type { OperateRequest } from '../../shared/status/operate.ts';

/** @throws BUC-REQUEST-MALFORMED, without quoting the event */
export function parseOperateRequest(event: unknown): OperateRequest {
  if (typeof event !== 'object' || event === null) throw malformed('the event is not a JSON object');
  const { command, sync, to } = event as Readonly<Record<string, unknown>>;
  if (sync !== undefined && typeof sync !== 'string') throw malformed("'sync' must be a sync's name");
  if (to !== undefined && typeof to !== 'string') throw malformed("'to' must be a target's name");
  switch (command) {
    case 'status':
      return { command };
    case 'redrive':
      return { command, sync, to };
    case 'pause':
    case 'resume':
      if (sync === undefined) throw malformed('it names no sync');
      return { command, sync, to };
    default:
      throw malformed("'command' must be one of status, pause, resume, redrive");
  }
}

function malformed(detail: string): BucardoError {
  return new BucardoError('BUC-REQUEST-MALFORMED', { detail });
}
