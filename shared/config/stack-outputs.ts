/**
 * The outputs by which a deployed fleet is found. The stack has the fleet's name unless its app chose another; its outputs
 * have these names.
 */
export const STACK_OUTPUTS = [
  'KickQueueUrl',
  'DeadLetterQueueUrl',
  'KickFunction',
  'OperateFunction',
  'ReplicateLogs',
  'SweepLogs',
  'KickLogs',
  'DeadLetterLogs',
  'OperateLogs',
] as const;

export type StackOutput = (typeof STACK_OUTPUTS)[number];
