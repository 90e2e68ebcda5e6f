/** What people are woken for: each alarm leads to its paragraph of the runbook, and none has a name of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NestedStack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import { resourcesOf, synthesise } from '../support/synthesise.ts';
import { EVERYTHING, manySyncs, MINIMAL } from './fleets.ts';

const RUNBOOK = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8');
const ANCHORS = [...RUNBOOK.matchAll(/^## (.+)$/gm)].map(([, heading = '']) =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-'),
);

interface AlarmProperties {
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly OKActions: readonly unknown[];
  readonly AlarmName?: string;
}

test('every alarm links to a paragraph of the runbook, and every paragraph belongs to an alarm', () => {
  const used = new Set<string>();
  for (const config of [MINIMAL, EVERYTHING]) {
    const alarms = resourcesOf(synthesise(config).json, 'AWS::CloudWatch::Alarm');
    expect(alarms.length).toBeGreaterThan(15);
    for (const [id, { Properties }] of alarms) {
      const { AlarmDescription, AlarmActions, OKActions, AlarmName } =
        Properties as unknown as AlarmProperties;
      const anchor = AlarmDescription.split('#').at(-1) ?? '';
      expect(ANCHORS, id).toContain(anchor);
      used.add(anchor);
      expect(AlarmActions, id).toHaveLength(1);
      expect(OKActions, id).toHaveLength(1);
      expect(AlarmName, id).toBeUndefined();
    }
  }
  expect([...used].toSorted()).toEqual(ANCHORS.toSorted());
});

test('silence of sweep and notifier is an alarm, silence of everything else is not', () => {
  const { template } = synthesise(MINIMAL);
  for (const paragraph of ['sweep-not-succeeding', 'notifier-not-running']) {
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmDescription: Match.stringLikeRegexp(`#${paragraph}$`),
      TreatMissingData: 'breaching',
      ComparisonOperator: 'LessThanThreshold',
    });
  }
  template.hasResourceProperties('AWS::CloudWatch::Alarm', {
    AlarmDescription: Match.stringLikeRegexp('#dead-letters$'),
    TreatMissingData: 'notBreaching',
    Threshold: 1,
  });
});

test('the fleet’s lag has the configured bound, and so has each lane of a sync that has its own', () => {
  const { template } = synthesise(EVERYTHING);
  template.hasResourceProperties('AWS::CloudWatch::Alarm', {
    Namespace: 'Bucardo',
    MetricName: 'LagSeconds',
    Dimensions: [{ Name: 'service', Value: 'everything' }],
    Threshold: 300,
  });
  for (const destination of ['reports', 'archive']) {
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'LaneLagSeconds',
      Dimensions: Match.arrayWith([{ Name: 'destination', Value: destination }]),
      Threshold: 120,
    });
  }
});

test('500 lanes with alarms of their own are spread over stacks that CloudFormation takes', () => {
  const { stack, json } = synthesise(manySyncs(500, true));
  const nested = stack.node.findAll().filter((node) => node instanceof NestedStack);
  const counts = nested.map(
    (child) => Object.keys((Template.fromStack(child).toJSON() as { Resources: object }).Resources).length,
  );
  expect(counts).toEqual([200, 200, 100]);
  expect(Object.keys(json.Resources).length).toBeLessThan(200);
});
