/**
 * A kick asks one lane to run. It carries no data: what is to be done is in the delta tables and progress marks, so a
 * kick may be lost, repeated, late or out of order without harm. The text form is versioned, so that parts of
 * different versions refuse each other's messages instead of guessing.
 */
import { BucardoError } from '../errors/bucardo-error.ts';

/** Who asked: a change, the lane's schedule, the sweep, the lane itself, a person, a person who wants a copy, a dead letter. */
const KICK_REASONS = ['change', 'schedule', 'sweep', 'continue', 'manual', 'copy', 'retry'] as const;
export type KickReason = (typeof KICK_REASONS)[number];

export interface Kick {
  /** `sync/destination`; also the message group. */
  readonly lane: string;
  readonly reason: KickReason;
}

const KICK_VERSION = 1;

/** Two names by Bucardo's rule. SQS allows far more in a message group id, but lane ids have nothing else. */
const LANE_ID = /^[a-zA-Z]\w*\/[a-zA-Z]\w*$/;

/** SQS: a message group id has at most 128 characters. */
const LANE_ID_MAX_LENGTH = 128;

/** The message body. @throws BUC-KICK-MALFORMED if the lane's id cannot be a message group */
export function encodeKick({ lane, reason }: Kick): string {
  if (!isLaneId(lane)) throw malformed('the lane is not of the form sync/destination in 128 characters');
  return JSON.stringify({ version: KICK_VERSION, lane, reason });
}

/** Reads a message body. @throws BUC-KICK-MALFORMED, without quoting the body */
export function parseKick(body: string): Kick {
  const { version, lane, reason } = parseObject(body);
  if (version !== KICK_VERSION) {
    throw malformed(
      typeof version === 'number'
        ? `it has version ${version}, this program reads ${KICK_VERSION}`
        : 'it has no version',
    );
  }
  if (typeof lane !== 'string' || !isLaneId(lane)) throw malformed('it names no lane');
  if (!isReason(reason)) throw malformed(`lane ${lane}, unknown reason`);
  return { lane, reason };
}

function parseObject(body: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's own message quotes the body, which may hold anything.
    throw malformed('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw malformed('the body is not a JSON object');
  return value as Readonly<Record<string, unknown>>;
}

function isLaneId(text: string): boolean {
  return text.length <= LANE_ID_MAX_LENGTH && LANE_ID.test(text);
}

function isReason(value: unknown): value is KickReason {
  return KICK_REASONS.some((reason) => reason === value);
}

function malformed(detail: string): BucardoError {
  return new BucardoError('BUC-KICK-MALFORMED', { detail });
}
