/**
 * What the programs would load for a feature that this fleet does not use. Such packages are left out of its bundles; nothing
 * ever asks for them.
 */
import type { Fleet } from '../shared/config/types.ts';
import { usedDatabases } from './database-rights.ts';

export function unusedPackages(fleet: Fleet): readonly string[] {
  const databases = usedDatabases(fleet, 'all');
  const uses = (kind: string): boolean =>
    databases.some(({ url }) => typeof url !== 'string' && url.kind === kind);
  const packages: readonly (readonly [string, boolean])[] = [
    ['@aws-sdk/client-secrets-manager', uses('secret')],
    ['@aws-sdk/client-ssm', uses('parameter')],
    ['@aws-sdk/rds-signer', databases.some(({ iam }) => iam !== undefined)],
    ['@aws-sdk/client-eventbridge', fleet.aws.events],
  ];
  return packages.filter(([, used]) => !used).map(([name]) => name);
}
