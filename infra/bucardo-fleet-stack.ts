/** A stack with one fleet in it, with the outputs by which the command line finds it. */
import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { BucardoFleet, type BucardoFleetProps } from './bucardo-fleet.ts';

export interface BucardoFleetStackProps extends StackProps, BucardoFleetProps {}

export class BucardoFleetStack extends Stack {
  readonly bucardo: BucardoFleet;

  constructor(scope: Construct, id: string, props: BucardoFleetStackProps) {
    super(scope, id, props);
    this.bucardo = new BucardoFleet(this, 'Fleet', props);
    for (const [name, value] of Object.entries(this.bucardo.outputs)) new CfnOutput(this, name, { value });
    if (this.bucardo.notifier === undefined) {
      new CfnOutput(this, 'NotifierCommand', {
        description: 'The notifier runs elsewhere, where it reaches the sources; this starts it',
        value: `BUCARDO_QUEUE_URL=${this.bucardo.outputs.KickQueueUrl} npx bucardo notifier`,
      });
    }
  }
}
