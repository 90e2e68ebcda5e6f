/** Where kicks go: the queue, or whatever else takes them. The protocol knows no more of it than this. */

export interface ChangeKick {
  /** `sync/destination` */
  readonly lane: string;
  readonly reason: 'change';
}

export interface KickSink {
  /** Resolves once every kick was accepted. A rejection may have accepted some: a kick too many does no harm. */
  send(kicks: readonly ChangeKick[]): Promise<unknown>;
}
