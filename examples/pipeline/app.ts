/** A CDK app whose pipeline deploys the fleet to staging at each push, and to production when somebody agrees. */
import { join } from 'node:path';
import { App, Stack, Stage, type StageProps } from 'aws-cdk-lib';
import {
  CodePipeline,
  CodePipelineSource,
  type IFileSetProducer,
  ManualApprovalStep,
  ShellStep,
} from 'aws-cdk-lib/pipelines';
import { BucardoFleetStack } from 'bucardo-serverless/infra';
import type { Construct } from 'constructs';

/** Replace these three, and the connection and repository below. */
const PIPELINE = { account: '111111111111', region: 'eu-west-1' };
const STAGING = { account: '222222222222', region: 'eu-west-1' };
const PRODUCTION = { account: '333333333333', region: 'eu-west-1' };

class Replication extends Stage {
  constructor(scope: Construct, id: string, props: StageProps) {
    super(scope, id, props);
    // The command line finds it by `--stack shop`, with the profile of the stage's account.
    const stack = new BucardoFleetStack(this, 'Fleet', {
      configFile: join(import.meta.dirname, 'bucardo.config.ts'),
      stackName: 'shop',
    });
    stack.terminationProtection = id === 'Production';
  }
}

const app = new App();
const pipelineStack = new Stack(app, 'Pipeline', { env: PIPELINE });
const source = CodePipelineSource.connection('example/replication', 'main', {
  connectionArn: 'arn:aws:codestar-connections:eu-west-1:111111111111:connection/example',
});
// The casts are for TypeScript's exactOptionalPropertyTypes alone, under which the CDK's own types do not agree.
const synth = new ShellStep('Synth', {
  input: source as IFileSetProducer,
  commands: ['npm ci', 'npx cdk synth'],
});
const pipeline = new CodePipeline(pipelineStack, 'Pipeline', {
  crossAccountKeys: true,
  synth: synth as IFileSetProducer,
  // The notifier's image is built with a Docker engine.
  dockerEnabledForSynth: true,
});
pipeline.addStage(new Replication(pipelineStack, 'Staging', { env: STAGING }));
pipeline.addStage(new Replication(pipelineStack, 'Production', { env: PRODUCTION }), {
  pre: [new ManualApprovalStep('Agree')],
});
app.synth();
