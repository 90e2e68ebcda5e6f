/** What a program needs to find and enter the databases that it uses: the secrets and parameters of exactly these, and no others. */
import { Annotations, ArnFormat, Stack } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Database, Fleet } from '../shared/config/types.ts';

/** Which databases a program connects to. */
export type DatabaseUse = 'all' | 'sources';

export function grantDatabases(scope: Construct, fleet: Fleet, use: DatabaseUse, grantee: IGrantable): void {
  const databases = usedDatabases(fleet, use);
  const statements: readonly { readonly action: string; readonly resources: readonly string[] }[] = [
    { action: 'secretsmanager:GetSecretValue', resources: secretArns(scope, databases) },
    { action: 'ssm:GetParameter', resources: parameterArns(scope, databases) },
    { action: 'rds-db:connect', resources: loginArns(scope, databases) },
  ];
  for (const { action, resources } of statements) {
    if (resources.length === 0) continue;
    grantee.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: [action], resources: [...new Set(resources)] }),
    );
  }
}

/** A variable's value would have to be in the template, for everybody to read who may see the stack. */
export function refuseVariables(scope: Construct, fleet: Fleet): void {
  for (const { name, url } of usedDatabases(fleet, 'all')) {
    if (typeof url === 'string' || url.kind !== 'env') continue;
    Annotations.of(scope).addError(
      `databases.${name}.url is env('${url.name}'), which a deployed function cannot see, and whose value must not be in the template. ` +
        `Put the URL into Secrets Manager or Parameter Store and write secret('…') or parameter('…').`,
    );
  }
}

export function usedDatabases(fleet: Fleet, use: DatabaseUse): readonly Database[] {
  const names = new Set(
    [...fleet.syncs.values()].flatMap(({ source, targets }) =>
      use === 'sources' ? [source] : [source, ...targets],
    ),
  );
  return [...fleet.databases.values()].filter(({ name }) => names.has(name));
}

function secretArns(scope: Construct, databases: readonly Database[]): readonly string[] {
  return databases.flatMap(({ url }) => {
    if (typeof url === 'string' || url.kind !== 'secret') return [];
    if (url.id.startsWith('arn:')) return [url.id];
    // Secrets Manager puts a hyphen and six characters behind every name.
    return [
      Stack.of(scope).formatArn({
        service: 'secretsmanager',
        resource: 'secret',
        resourceName: `${url.id}-??????`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    ];
  });
}

function parameterArns(scope: Construct, databases: readonly Database[]): readonly string[] {
  return databases.flatMap(({ url }) => {
    if (typeof url === 'string' || url.kind !== 'parameter') return [];
    if (url.name.startsWith('arn:')) return [url.name];
    return [
      Stack.of(scope).formatArn({
        service: 'ssm',
        resource: 'parameter',
        resourceName: url.name.replace(/^\//, ''),
      }),
    ];
  });
}

function loginArns(scope: Construct, databases: readonly Database[]): readonly string[] {
  return databases.flatMap(({ iam }) =>
    iam === undefined
      ? []
      : [
          Stack.of(scope).formatArn({
            service: 'rds-db',
            resource: 'dbuser',
            resourceName: `${iam.resourceId}/${iam.user}`,
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ],
  );
}
