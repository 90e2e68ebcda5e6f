/** How long the notifier waits for what. Every number in one place, each with its reason; tests shorten some. */

export interface Timing {
  /**
   * Coalescing window after a kick, during which writers pay for no NOTIFY. It starts short, so that a lone change after
   * another one is not held up, and doubles while every armed look finds something newer.
   */
  readonly windowLeastMs: number;
  /** Four kicks a second and lane at most under load: a run takes tens of milliseconds, and an SQS FIFO group is serial. */
  readonly windowMostMs: number;
  /**
   * Looks while transactions that may have read "disarmed" are unfinished: at a twentieth of the time that they have been waited for, since
   * they may be open for days (prepared ones too).
   */
  readonly watchLeastMs: number;
  readonly watchMostMs: number;
  /** Looks while asleep: notices a half-dead connection, `apply` on an idle source, and a flag that somebody else disarmed. */
  readonly heartbeatMs: number;
  /** Interval of the looks at sources that use no NOTIFY. */
  readonly pollMs: number;
  /** Reconnecting, doubling. The greatest delay is what a failover costs on top of itself. */
  readonly reconnectLeastMs: number;
  readonly reconnectMostMs: number;
  /** Sending kicks again that the queue did not take, doubling. */
  readonly resendLeastMs: number;
  readonly resendMostMs: number;
  /** A server that takes longer for a statement of ours (all are index look-ups) is taken for dead. */
  readonly answerTimeoutMs: number;
  /** The queue's own retries end long before. */
  readonly sendTimeoutMs: number;
  /** What is unfinished this long after a stop was asked for is cut off. Container platforms kill after 5 to 30 s. */
  readonly stopGraceMs: number;
  /** A source without a successful look for this long is reported as not well: several heartbeats and a reconnect. */
  readonly staleMs: number;
}

export const TIMING: Timing = {
  windowLeastMs: 10,
  windowMostMs: 250,
  watchLeastMs: 20,
  watchMostMs: 2_000,
  heartbeatMs: 5_000,
  pollMs: 100,
  reconnectLeastMs: 100,
  reconnectMostMs: 5_000,
  resendLeastMs: 200,
  resendMostMs: 5_000,
  answerTimeoutMs: 10_000,
  sendTimeoutMs: 30_000,
  stopGraceMs: 3_000,
  staleMs: 30_000,
};
