/** How far a copy is, in one line. Pure. */
import type { CopyStatus } from '../shared/status/read-status.ts';
import { formatBar, formatCount, formatSeconds } from './table.ts';

const BAR_WIDTH = 30;

export function copyLine(copy: CopyStatus): string {
  const { relation, state, rowsCopied, rowsEstimated, rowsPerSecond, remainingSeconds } = copy;
  if (state === 'wanted') return `${relation} waits for its copy`;
  const bar = rowsEstimated === 0 ? '' : `${formatBar(rowsCopied / rowsEstimated, BAR_WIDTH)}  `;
  const rate = rowsPerSecond === undefined ? '' : `, ${formatCount(rowsPerSecond)}/s`;
  const rest = remainingSeconds === undefined ? '' : `, about ${formatSeconds(remainingSeconds)} left`;
  return `${relation}  ${bar}${formatCount(rowsCopied)} rows${rate}${rest}`;
}
