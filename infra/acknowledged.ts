/** What cdk-nag's AwsSolutions checks find in a fleet and is meant, each with its reason. The test of infra/ runs these checks. */
import { Validations } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

const ACKNOWLEDGED = [
  {
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason:
      'Network interfaces of functions, X-Ray segments and the registry’s login token: AWS offers no narrower resource for these actions, and no other action has this one.',
  },
  {
    id: 'AwsSolutions-IAM5[Action::kms:GenerateDataKey*]',
    reason: 'For the one key that the configuration names; the CDK grants its variants together.',
  },
  {
    id: 'AwsSolutions-IAM5[Action::kms:ReEncrypt*]',
    reason: 'For the one key that the configuration names; the CDK grants its variants together.',
  },
  {
    id: 'AwsSolutions-VPC7',
    reason:
      'The network holds nothing but the fleet’s own programs, whose security groups let nothing in. Flow logs cost more than everything else; whoever wants them adds them to the VPC.',
  },
  {
    id: 'AwsSolutions-ECS2',
    reason:
      'The notifier’s variables are a queue’s address, a name and a port: no secrets, which are read at run time.',
  },
  {
    id: 'AwsSolutions-ECS4',
    reason:
      'Whether the notifier runs is alarmed on by the service’s own metrics; Container Insights would cost more than it.',
  },
] as const;

export function acknowledge(scope: Construct): void {
  Validations.of(scope).acknowledge(...ACKNOWLEDGED);
}
