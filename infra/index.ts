/** What other CDK apps use of this project. */
export { BucardoFleet, type BucardoFleetProps } from './bucardo-fleet.ts';
export { BucardoFleetStack, type BucardoFleetStackProps } from './bucardo-fleet-stack.ts';
export { KickQueue, type KickQueueProps } from './kick-queue.ts';
