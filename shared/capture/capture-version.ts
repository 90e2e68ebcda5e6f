/**
 * Which version of ours a trigger function's body is. A body of an earlier version captures everything and is only to be brought
 * up to date; a body that is none of ours was put there by somebody else, and changes may have been missed.
 */

/** Raised whenever the body of the trigger functions changes. */
export const CAPTURE_VERSION = 3;

/** The body's first line. */
export const CAPTURE_MARKER = `-- bucardo capture ${CAPTURE_VERSION}`;

const MARKER = /^\n?-- bucardo capture (\d+)\n/;
/** How bodies began before they had a marker. */
const UNMARKED = /^\ndeclare\n {2}stamp timestamptz := clock_timestamp\(\);\nbegin\n/;

/**
 * @param source pg_proc.prosrc
 * @returns undefined if the body is none of ours; 2 for all that had no marker yet
 */
export function captureVersion(source: string): number | undefined {
  const [, version] = MARKER.exec(source) ?? [];
  if (version !== undefined) return Number(version);
  return UNMARKED.test(source) ? 2 : undefined;
}
