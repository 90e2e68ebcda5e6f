/** cdk-nag's AwsSolutions checks over whole fleets: whatever they find is mended, or explained in infra/acknowledged.ts. */
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { expect, test } from 'vitest';
import { BucardoFleetStack } from '../../infra/bucardo-fleet-stack.ts';
import { cdkContext, temporaryFolder, writeConfig } from '../support/synthesise.ts';
import { EVERYTHING, MINIMAL } from './fleets.ts';

function synthesiseChecked(config: string, prepare: (stack: BucardoFleetStack) => void = () => {}): void {
  const app = new App({ context: cdkContext(), outdir: temporaryFolder('bucardo-nag-') });
  prepare(new BucardoFleetStack(app, 'bucardo', { configFile: writeConfig(config) }));
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  app.synth();
}

test.each([
  ['minimal', MINIMAL],
  ['everything', EVERYTHING],
  ['with a NAT gateway', MINIMAL.replace('syncs:', "aws: { network: { create: 'nat' } }, syncs:")],
])('%s: the checks find nothing that is not explained', (_, config) => {
  synthesiseChecked(config);
});

test('the checks do find something', () => {
  expect(() =>
    synthesiseChecked(MINIMAL, (stack) => {
      const queue = stack.bucardo.queue.queue.node.findChild('Policy');
      stack.bucardo.queue.queue.node.tryRemoveChild(queue.node.id);
    }),
  ).toThrow(/AwsSolutions/);
});
