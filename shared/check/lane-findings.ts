/** What a lane that has run already says of itself, as far as somebody should look at it. Pure. */
import type { ErrorCode } from '../errors/codes.ts';
import { errorCodes } from '../errors/codes.ts';
import type { LaneStatus } from '../status/read-status.ts';
import { COPY_REASON_TEXTS, shortened } from '../status/verdict.ts';
import { type Finding, note } from './finding.ts';

export function findLane(lane: LaneStatus): readonly Finding[] {
  const { sync, destination } = lane;
  const where = { sync, database: destination };
  return [
    ...(lane.error === undefined ? [] : [stored(where, lane.error, `the last run failed`)]),
    ...lane.problems.map(({ relation, code, message, remedy }): Finding => ({
      severity: 'error',
      code,
      ...where,
      database: lane.source,
      relation,
      text: message,
      remedy,
    })),
    ...lane.held.map((held) => stored({ ...where, relation: held.relation }, held, 'the relation waits')),
    ...(lane.rejectedRows === 0
      ? []
      : [
          note(
            'warning',
            'rows-rejected',
            where,
            `${lane.rejectedRows} ${lane.rejectedRows === 1 ? 'row is' : 'rows are'} parked because the target refused them`,
            `See \`bucardo rejected list ${sync}\`.`,
          ),
        ]),
    ...(lane.pausedSecondsAgo === undefined
      ? []
      : [
          note(
            'warning',
            'lane-paused',
            where,
            'the lane is paused, and its changes wait',
            `Run \`bucardo resume ${sync} --to ${destination}\`.`,
          ),
        ]),
    ...(lane.sourceMoved
      ? [
          note(
            'warning',
            'source-moved',
            where,
            'the source was restored or moved since the lane ran, so its progress means nothing here',
            'The next run takes it over; then copy what `bucardo status` names.',
          ),
        ]
      : []),
    ...(lane.lastRunSecondsAgo === undefined
      ? [note('info', 'never-ran', where, 'no run of the lane has ended well yet')]
      : []),
    ...(lane.pending === 0
      ? []
      : [
          note(
            'info',
            'changes-waiting',
            where,
            `${lane.pending} changes wait, the oldest for ${Math.round(lane.lagSeconds)} s`,
          ),
        ]),
    ...(lane.notCopied.length === 0
      ? []
      : [
          note(
            'warning',
            'copy-skipped',
            where,
            `not copied, because the target had rows, which may differ: ${shortened(lane.notCopied.map(({ relation }) => relation))}`,
            `Run \`bucardo copy ${sync} --to ${destination}\`, or with --accept to keep the rows.`,
          ),
        ]),
    ...lane.copyNeeded.map(({ relation, reason }): Finding => ({
      severity: 'warning',
      code: 'BUC-COPY-NEEDED',
      ...where,
      relation,
      text: `${errorCodes['BUC-COPY-NEEDED'].title}: ${COPY_REASON_TEXTS[reason]}`,
      remedy: `Run \`bucardo copy ${sync} --to ${destination} --table ${relation}\`.`,
    })),
    ...lane.purgeFailures.map((failure) =>
      stored(
        { ...where, relation: failure.relation },
        failure,
        'delivered changes cannot be purged from the source',
      ),
    ),
    ...lane.copies.map(({ relation, state, rowsCopied }) =>
      note(
        'info',
        'copy-running',
        { ...where, relation },
        state === 'wanted' ? 'the first copy has not begun' : `the first copy is at ${rowsCopied} rows`,
      ),
    ),
  ];
}

/** An error as a run has left it on the source: its code, and a text without values. */
function stored(
  where: { readonly sync: string; readonly database: string; readonly relation?: string },
  { code, message }: { readonly code: string; readonly message: string },
  what: string,
): Finding {
  const known: ErrorCode = isErrorCode(code) ? code : 'BUC-UNEXPECTED';
  return {
    severity: 'warning',
    code: known,
    ...where,
    text: `${what}: ${message}`,
    remedy: errorCodes[known].remedy,
  };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}
