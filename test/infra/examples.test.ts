/** The examples are fleets that can be deployed. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { SynthesisMessageLevel } from 'aws-cdk-lib/cx-api';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import { BucardoFleetStack } from '../../infra/bucardo-fleet-stack.ts';
import { cdkContext, temporaryFolder } from '../support/synthesise.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples');
const names = readdirSync(EXAMPLES).filter((name) => name !== 'demo');

test.each(names)('%s', (name) => {
  const app = new App({ context: cdkContext(), outdir: temporaryFolder('bucardo-example-') });
  const stack = new BucardoFleetStack(app, 'example', {
    configFile: join(EXAMPLES, name, 'bucardo.config.ts'),
    // Where a VPC is looked up.
    env: { account: '123456789012', region: 'eu-west-1' },
  });
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::SQS::Queue', 2);
  expect(
    app.synth().stacks[0]?.messages.filter(({ level }) => level === SynthesisMessageLevel.ERROR),
  ).toEqual([]);
});
