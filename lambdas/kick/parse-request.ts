/** What the kick function may be asked for. Pure. */
import { BucardoError } from '../../shared/errors/bucardo-error.ts';

export type KickRequest =
  | {
      readonly kind: 'sync';
      readonly sync: string;
      readonly to: string | undefined;
      /** Wait until everything that is committed now has arrived, for so many seconds at most. */
      readonly waitSeconds: number | undefined;
    }
  /** All syncs with exactly this schedule: what an EventBridge rule asks. */
  | { readonly kind: 'schedule'; readonly schedule: string };

const DEFAULT_WAIT_SECONDS = 300;

/** @throws BUC-REQUEST-MALFORMED, without quoting the event */
export function parseKickRequest(event: unknown): KickRequest {
  if (typeof event !== 'object' || event === null) throw malformed('the event is not a JSON object');
  const { sync, to, wait, timeoutSeconds, schedule } = event as Readonly<Record<string, unknown>>;
  if (typeof schedule === 'string' && sync === undefined) return { kind: 'schedule', schedule };
  if (typeof sync !== 'string') throw malformed("it names no sync; send { 'sync': 'NAME' }");
  if (to !== undefined && typeof to !== 'string') throw malformed("'to' must be a target's name");
  if (wait !== undefined && typeof wait !== 'boolean') throw malformed("'wait' must be true or false");
  if (timeoutSeconds !== undefined && !(typeof timeoutSeconds === 'number' && timeoutSeconds > 0))
    throw malformed("'timeoutSeconds' must be a number above 0");
  return {
    kind: 'sync',
    sync,
    to,
    waitSeconds: wait === true ? (timeoutSeconds ?? DEFAULT_WAIT_SECONDS) : undefined,
  };
}

function malformed(detail: string): BucardoError {
  return new BucardoError('BUC-REQUEST-MALFORMED', { detail });
}
