/** How programs find a LocalStack in place of AWS: the same variables for the CDK, the SDK and the AWS command line. */

export const REGION = 'us-east-1';
export const ACCOUNT = '000000000000';

/** LocalStack takes any; these are the account above. */
export const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' } as const;

export function awsEnvironment(endpoint: string): Readonly<Record<string, string>> {
  return {
    AWS_ENDPOINT_URL: endpoint,
    // The CDK asks for this one by name, and for addresses without the bucket in the host's name.
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    CDK_DEFAULT_ACCOUNT: ACCOUNT,
    CDK_DEFAULT_REGION: REGION,
  };
}

/** This process's own environment without anything that could lead to a real account: profiles, sessions, other endpoints. */
export function environmentFor(
  endpoint: string,
  own: NodeJS.ProcessEnv = process.env,
): Readonly<Record<string, string | undefined>> {
  const others = Object.entries(own).filter(([name]) => !/^(AWS|CDK|BUCARDO)_/.test(name));
  return { ...Object.fromEntries(others), ...awsEnvironment(endpoint) };
}
