/**
 * Names of what is measured. Alarms and dashboards refer to them, so they are constants, and stay.
 *
 * Every metric has the fleet's name as its only dimension (`service`), which keeps the bill independent of the number of lanes;
 * METRIC_LANE_LAG alone has a lane's too, for syncs that ask for alarms of their own. What concerns a lane is in the same
 * log lines as a property, and so can be queried.
 */
export const METRIC_NAMESPACE = 'Bucardo';

/** Rows written to or deleted at a destination. */
export const METRIC_ROWS = 'RowsReplicated';
export const METRIC_RUN_SECONDS = 'RunSeconds';
/** 1 for a run that failed, 0 for one that did not, so that the average is a rate. */
export const METRIC_RUN_FAILURES = 'RunFailures';

/** By the sweep, each minute: age in seconds of the oldest change that waits in any lane. */
export const METRIC_LAG = 'LagSeconds';
/** The same for one lane, with dimensions `service`, `sync` and `destination`. */
export const METRIC_LANE_LAG = 'LaneLagSeconds';
/** By the sweep: rows that are parked, over all lanes. */
export const METRIC_REJECTED_ROWS = 'RejectedRows';
/** By the sweep: tables that need a copy, over all lanes. */
export const METRIC_COPIES_NEEDED = 'CopiesNeeded';
/** By the sweep: tables whose delivered changes cannot be deleted from the source. */
export const METRIC_PURGE_FAILURES = 'PurgeFailures';
/** By the sweep: sources that could not be swept. */
export const METRIC_SOURCES_FAILED = 'SourcesFailed';
/** By the dead-letter function: kicks that failed too often. */
export const METRIC_DEAD_LETTERS = 'DeadLetters';
